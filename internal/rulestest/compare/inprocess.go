package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/rulestest"
	"muster/internal/search"
	"muster/internal/search/index"
	searchcompare "muster/internal/searchtest/compare"
	"muster/internal/store"
)

// Config configures the comparison in this process.
type Config struct {
	Registry *conformance.Registry
	Zone     *time.Location // of dates without a time zone
	// New returns an empty store with the base URL [rulestest.Base], and a function that removes it.
	New func(ctx context.Context) (store.Store, func() error, error)
}

// Directory is a [Target] in this process: a store, the loader, and the HTTP handler of a server.
// Its exports select and read rows as a worker does, without jobs and files. It is not safe for
// concurrent use.
type Directory struct {
	Store store.Store

	remove    func() error
	compiler  *search.Compiler
	extractor *index.Extractor
	handler   http.Handler
	snapshot  store.Snapshot // of what was written last; nil if there is none
}

// Open creates a store. The caller must close the directory.
func (c Config) Open(ctx context.Context) (_ *Directory, err error) {
	d := &Directory{compiler: search.New(c.Registry, rulestest.Base, c.Zone)}
	if d.extractor, err = index.NewExtractor(c.Registry, rulestest.Base); err != nil {
		return nil, err
	}
	if d.Store, d.remove, err = c.New(ctx); err != nil {
		return nil, err
	}
	d.handler, err = searchcompare.Handler(d.Store, nil, d.compiler, searchcompare.Config{Registry: c.Registry, Zone: c.Zone})
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close closes and removes the store.
func (d *Directory) Close() error {
	return errors.Join(d.closeSnapshot(), d.Store.Close(), d.remove())
}

func (d *Directory) closeSnapshot() error {
	if d.snapshot == nil {
		return nil
	}
	snapshot := d.snapshot
	d.snapshot = nil
	return snapshot.Close()
}

// Load implements [Target].
func (d *Directory) Load(ctx context.Context, file File, _ func() error) error {
	if err := d.closeSnapshot(); err != nil {
		return err
	}
	refused := refusals{served: file.Served}
	summary, err := load.Run(ctx, load.Config{Directory: d.Store, Extractor: d.extractor, Rejects: &refused}, []load.Input{load.FromReader("step", bytes.NewReader(file.Text))})
	if err == nil && summary.RefusedTotal() > refused.expected {
		err = fmt.Errorf("the loader refuses a resource: %s", refused.others)
	}
	return err
}

// refusals collects the refusals of a load.
type refusals struct {
	served   bool // the file has lines that were served
	expected int64
	others   []string
}

func (r *refusals) Reject(what load.Rejected) error {
	if r.served && strings.HasPrefix(what.Reason, RefusesServed) {
		r.expected++
	} else {
		r.others = append(r.others, fmt.Sprintf("%s/%s: %s", what.Type, what.ID, what.Reason))
	}
	return nil
}

// Remove implements [Target].
func (d *Directory) Remove(ctx context.Context, names []rulestest.Name, _ func() error) error {
	if err := d.closeSnapshot(); err != nil {
		return err
	}
	var removals []store.Change
	for _, n := range names {
		t, _ := fhir.ParseType(n.Type)
		removals = append(removals, store.Change{Type: t, ID: n.ID, Remove: true})
	}
	_, err := d.Store.Apply(ctx, removals)
	return err
}

// Export implements [Target]. Exports between two writes have one transaction time.
func (d *Directory) Export(ctx context.Context, r Request) (result Result, err error) {
	if d.snapshot == nil {
		d.snapshot, err = d.Store.OpenSnapshot(ctx, func(context.Context, fhir.Instant) error { return nil })
		if err != nil {
			return Result{}, err
		}
	}
	result.Time = d.snapshot.Time()
	for _, text := range r.Filters {
		f, err := d.compiler.ExportFilter(text, search.Export{May: policy.FullAccess(), Since: r.Since, WithoutSuppressed: r.WithoutSuppressed})
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", text, err)
		}
		var keys []store.RowKey
		if err := d.snapshot.Select(ctx, f.Plan, func(key store.RowKey, _ int64) error {
			keys = append(keys, key)
			return nil
		}); err != nil {
			return Result{}, err
		}
		if err := d.Store.ReadAsOf(ctx, keys, result.Time, func(_ store.RowKey, line []byte) error {
			result.Lines = append(result.Lines, bytes.Clone(line))
			return nil
		}); err != nil {
			return Result{}, err
		}
		if r.Since == nil {
			continue
		}
		if err := d.snapshot.Removals(ctx, f.Plan.Type, *r.Since, func(removed store.Removal) error {
			n := rulestest.Name{Type: f.Plan.Type.String(), ID: removed.ID}
			if removed.Again == 0 && !slices.Contains(result.Deleted, n) {
				result.Deleted = append(result.Deleted, n)
			}
			return nil
		}); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

// Get implements [Target].
func (d *Directory) Get(ctx context.Context, path string) (status int, body []byte, err error) {
	url := path
	if !strings.HasPrefix(url, rulestest.Base) {
		url = rulestest.Base + "/" + path
	}
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	request.Header.Set("Accept", "application/fhir+json")
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.Bytes(), nil
}
