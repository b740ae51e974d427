package compare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/search/query"
	"muster/internal/searchtest"
	"muster/internal/store"
)

// Base is the base URL of the directories, without a slash at the end.
const Base = "http://directory.example/fhir"

// Config configures the comparison.
type Config struct {
	Registry *conformance.Registry
	Zone     *time.Location // of dates without a time zone
	// Blobs is the blob folder of a server. If set, searches also run over HTTP.
	Blobs *blob.Folder
	// Authenticator makes principals of the tokens that clients send. Optional.
	Authenticator auth.Authenticator
	// New returns an empty store, and a function that removes it.
	New func(ctx context.Context) (store.Store, func() error, error)
}

// Trial is a directory that both the engine and the evaluator have loaded. It is not safe
// for concurrent use.
type Trial struct {
	Directory *searchtest.Directory
	Store     store.Store

	config    Config
	remove    func() error
	client    *Client // nil unless searches also run over HTTP
	compiler  *search.Compiler
	snapshot  store.Snapshot
	ids       map[store.RowKey]string
	loadTimes []fhir.Instant // snapshot times after each load
}

// Open loads the batches into a new store and reads them back. The caller must close the
// trial.
func (c Config) Open(ctx context.Context, batches searchtest.Batches) (_ *Trial, err error) {
	t := &Trial{config: c, Directory: searchtest.NewDirectory(Base, searchtest.NewZone(c.Zone)), compiler: search.New(c.Registry, Base, c.Zone), ids: map[store.RowKey]string{}}
	if t.Store, t.remove, err = c.New(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	batchOf := map[string]int{} // by Type/id
	for n, lines := range batches {
		if err := c.load(ctx, t.Store, lines); err != nil {
			return nil, err
		}
		if t.snapshot != nil {
			if err := t.snapshot.Close(); err != nil {
				return nil, err
			}
		}
		t.snapshot, err = t.Store.OpenSnapshot(ctx, func(context.Context, fhir.Instant) error { return nil })
		if err != nil {
			return nil, err
		}
		t.loadTimes = append(t.loadTimes, t.snapshot.Time())
		for _, line := range lines {
			if name, removed := strings.CutPrefix(line, "-"); removed {
				delete(batchOf, name)
				continue
			}
			batchOf[nameOf(line)] = n + 1
		}
	}
	if c.Blobs != nil {
		if t.client, err = t.Serve(c.Blobs); err != nil {
			return nil, err
		}
	}
	return t, t.readBack(ctx, batchOf)
}

// Close closes and removes the store.
func (t *Trial) Close() error {
	var errs []error
	if t.snapshot != nil {
		errs = append(errs, t.snapshot.Close())
	}
	return errors.Join(append(errs, t.Store.Close(), t.remove())...)
}

// load writes one batch: first the resources, then the removals.
func (c Config) load(ctx context.Context, to store.Store, lines []string) error {
	extractor, err := index.NewExtractor(c.Registry, Base)
	if err != nil {
		return err
	}
	var resources strings.Builder
	var removals []store.Change
	for _, line := range lines {
		if name, removed := strings.CutPrefix(line, "-"); removed {
			typeName, id, _ := strings.Cut(name, "/")
			t, _ := fhir.ParseType(typeName)
			removals = append(removals, store.Change{Type: t, ID: id, Remove: true})
			continue
		}
		resources.WriteString(line + "\n")
	}
	var rejects rejectList
	summary, err := load.Run(ctx, load.Config{Directory: to, Extractor: extractor, KeepMeta: true, Rejects: &rejects},
		[]load.Input{load.FromReader("generated", strings.NewReader(resources.String()))})
	if err != nil {
		return err
	}
	if summary.RefusedTotal() > 0 {
		return fmt.Errorf("the loader rejects generated resources: %s", rejects)
	}
	_, err = to.Apply(ctx, removals)
	return err
}

type rejectList []string

func (r *rejectList) Reject(what load.Rejected) error {
	*r = append(*r, fmt.Sprintf("%s/%s: %s", what.Type, what.ID, what.Reason))
	return nil
}

// nameOf returns the Type/id of a generated line.
func nameOf(line string) string {
	d := searchtest.NewDirectory(Base, searchtest.NewZone(time.UTC))
	if err := d.Add([]byte(line), 0); err != nil {
		return ""
	}
	return d.Names()[0]
}

// readBack adds the resources to the evaluator as the store serves them.
func (t *Trial) readBack(ctx context.Context, batchOf map[string]int) error {
	for _, typ := range fhir.Types() {
		var keys []store.RowKey
		err := t.snapshot.Select(ctx, plan.Plan{Type: typ, Root: plan.And{}}, func(key store.RowKey, _ int64) error {
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return err
		}
		err = t.Store.ReadAsOf(ctx, keys, t.snapshot.Time(), func(key store.RowKey, line []byte) error {
			name := nameOf(string(line))
			_, t.ids[key], _ = strings.Cut(name, "/")
			if batchOf[name] == 0 {
				return fmt.Errorf("the store has %s, which was not loaded", name)
			}
			return t.Directory.Add(line, batchOf[name])
		})
		if err != nil {
			return err
		}
	}
	if t.Directory.Size() != len(batchOf) {
		return fmt.Errorf("%d resources were loaded, the store has %d", len(batchOf), t.Directory.Size())
	}
	return nil
}

// Difference is a query that the engine and the evaluator answer differently.
type Difference struct {
	Query query.Query
	Mode  string   // "export", "export with _since", "search"
	Want  []string // ids that the evaluator finds
	Got   []string // ids that the engine finds
	// Errors of a refused query; nil if it is answered.
	Evaluator, Engine error
}

func (d Difference) String() string {
	side := func(ids []string, refusal error) string {
		if refusal != nil {
			return "refused: " + refusal.Error()
		}
		return fmt.Sprint(ids)
	}
	return fmt.Sprintf("%s\n  as %s\n  evaluator %s\n  engine    %s", d.Query, d.Mode, side(d.Want, d.Evaluator), side(d.Got, d.Engine))
}

// Compare runs a query on the evaluator and the engine. It returns the answer of the
// evaluator, and the difference if the engine answers differently.
func (t *Trial) Compare(ctx context.Context, q query.Query) (searchtest.Answer, *Difference, error) {
	want, refusal := t.Directory.Find(q)
	d := &Difference{Query: q, Mode: "export", Want: want.IDs, Evaluator: refusal}
	if d.Got, d.Engine = t.Export(ctx, q.String()); d.Engine != nil || refusal != nil {
		if _, ok := fhir.AsIssues(d.Engine); d.Engine != nil && !ok {
			return want, nil, d.Engine
		}
		if d.Engine != nil && refusal != nil {
			d = nil
		}
		return want, d, nil
	}
	if want.Ambiguous {
		return want, nil, nil
	}
	if !slices.Equal(d.Got, d.Want) {
		return want, d, nil
	}
	d.Mode = "search"
	var err error
	if d.Got, err = t.Search(ctx, q.String()); err != nil || !slices.Equal(d.Got, d.Want) {
		return want, d, err
	}
	if t.client != nil {
		d.Mode = "search over HTTP"
		count := 1 + len(q.String())%4 // arbitrary, but deterministic
		text := q.String()
		if len(text)%2 == 0 {
			text += "&_id=&_tag=&_sort=" // parameters without a value ask for nothing (SR-26)
		}
		if d.Got, err = t.client.Search(ctx, text, count); err != nil || !slices.Equal(d.Got, d.Want) {
			return want, d, err
		}
	}
	batch := 1 + len(want.IDs)%(len(t.loadTimes)-1) // arbitrary, but deterministic
	since, err := t.Directory.FindSince(q, batch)
	if err != nil || since.Ambiguous {
		return want, nil, err
	}
	d.Mode, d.Want = "export with _since", since.IDs
	if d.Got, err = t.ExportSince(ctx, q.String(), batch); err != nil || !slices.Equal(d.Got, d.Want) {
		return want, d, err
	}
	if since, err = t.Directory.FindSinceUnsuppressed(q, batch); err != nil || since.Ambiguous {
		return want, nil, err
	}
	d.Mode, d.Want = "export with _since without suppressed resources", since.IDs
	if d.Got, err = t.ExportSinceUnsuppressed(ctx, q.String(), batch); err != nil || !slices.Equal(d.Got, d.Want) {
		return want, d, err
	}
	return want, nil, nil
}

// Export returns the ids, sorted, that an export without _since contains for a filter. If
// the filter is refused, the error is fhir.Issues.
func (t *Trial) Export(ctx context.Context, filter string) ([]string, error) {
	return t.ExportAs(ctx, filter, policy.FullAccess())
}

// ExportAs is like [Trial.Export] for a client that may learn less.
func (t *Trial) ExportAs(ctx context.Context, filter string, may policy.Access) ([]string, error) {
	p, err := t.plan(filter, search.Export{May: may})
	if err != nil {
		return nil, err
	}
	return t.selectIDs(ctx, p)
}

// ExportSince is like [Trial.Export] for an export whose _since is the time after a load,
// numbered from 1.
func (t *Trial) ExportSince(ctx context.Context, filter string, load int) ([]string, error) {
	return t.ExportSinceAs(ctx, filter, load, policy.FullAccess())
}

// ExportSinceAs is like [Trial.ExportSince] for a client that may learn less.
func (t *Trial) ExportSinceAs(ctx context.Context, filter string, load int, may policy.Access) ([]string, error) {
	return t.exportSince(ctx, filter, search.Export{May: may, Since: &t.loadTimes[load-1]})
}

// ExportSinceUnsuppressed is like [Trial.ExportSince] for a client without access to
// suppressed resources.
func (t *Trial) ExportSinceUnsuppressed(ctx context.Context, filter string, load int) ([]string, error) {
	return t.exportSince(ctx, filter, search.Export{May: policy.FullAccess(), Since: &t.loadTimes[load-1], WithoutSuppressed: true})
}

func (t *Trial) exportSince(ctx context.Context, filter string, e search.Export) ([]string, error) {
	p, err := t.plan(filter, e)
	if err != nil {
		return nil, err
	}
	return t.selectIDs(ctx, p)
}

func (t *Trial) plan(filter string, e search.Export) (plan.Plan, error) {
	f, err := t.compiler.ExportFilter(filter, e)
	if err != nil {
		return plan.Plan{}, err
	}
	return f.Plan, nil
}

// selectIDs returns the ids, sorted, that an export of the plan contains.
func (t *Trial) selectIDs(ctx context.Context, p plan.Plan) ([]string, error) {
	var ids []string
	last := store.RowKey(math.MinInt64)
	err := t.snapshot.Select(ctx, p, func(key store.RowKey, _ int64) error {
		if key <= last {
			return fmt.Errorf("row key %d follows %d", key, last)
		}
		last = key
		ids = append(ids, t.ids[key])
		return nil
	})
	slices.Sort(ids)
	return ids, err
}

// Search returns the ids, sorted, that a search finds. Its total must be exact.
func (t *Trial) Search(ctx context.Context, text string) ([]string, error) {
	p, err := t.plan(text, search.Export{May: policy.FullAccess()})
	if err != nil {
		return nil, err
	}
	searcher, ok := t.Store.(store.Searcher)
	if !ok {
		return t.selectIDs(ctx, p)
	}
	found, err := searcher.Search(ctx, store.Search{Plan: p, Limit: t.Directory.Size() + 1, Total: -1})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, row := range found.Rows {
		ids = append(ids, row.ID)
	}
	if found.Total != int64(len(ids)) || !found.Exact {
		return ids, fmt.Errorf("the search finds %d rows, its total is %d, exact %v", len(ids), found.Total, found.Exact)
	}
	slices.Sort(ids)
	return ids, nil
}
