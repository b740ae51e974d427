package compare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

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

// Config says against what to compare.
type Config struct {
	Registry *conformance.Registry
	Zone     *time.Location // of dates without one
	// Blobs, if set, has searches asked over HTTP as well, of a server with this folder.
	Blobs *blob.Folder
	// New makes an empty store, and a function that removes it.
	New func(ctx context.Context) (store.Store, func() error, error)
}

// Trial is one directory, known to both sides. Not safe for several goroutines.
type Trial struct {
	Directory *searchtest.Directory
	Store     store.Store

	config   Config
	remove   func() error
	client   *Client // nil: searches are not asked over HTTP
	compiler *search.Compiler
	snapshot store.Snapshot
	ids      map[store.RowKey]string
	after    []fhir.Instant // times of the directory: after how many batches
}

// Open loads the batches into a new store and reads them back. Close the trial.
func (c Config) Open(ctx context.Context, lines searchtest.Lines) (_ *Trial, err error) {
	t := &Trial{config: c, Directory: searchtest.NewDirectory(Base, searchtest.NewZone(c.Zone)), compiler: search.New(c.Registry, Base, c.Zone), ids: map[store.RowKey]string{}}
	if t.Store, t.remove, err = c.New(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	batch := map[string]int{} // by Type/id
	for n, list := range lines {
		if err := c.load(ctx, t.Store, list); err != nil {
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
		t.after = append(t.after, t.snapshot.Time())
		for _, line := range list {
			if name, gone := strings.CutPrefix(line, "-"); gone {
				delete(batch, name)
				continue
			}
			batch[nameOf(line)] = n + 1
		}
	}
	if c.Blobs != nil {
		if t.client, err = t.Serve(c.Blobs); err != nil {
			return nil, err
		}
	}
	return t, t.readBack(ctx, batch)
}

// Close ends the trial and removes its store.
func (t *Trial) Close() error {
	var errs []error
	if t.snapshot != nil {
		errs = append(errs, t.snapshot.Close())
	}
	return errors.Join(append(errs, t.Store.Close(), t.remove())...)
}

// load writes one batch: the resources, and then the removals.
func (c Config) load(ctx context.Context, to store.Store, lines []string) error {
	extractor, err := index.NewExtractor(c.Registry, Base)
	if err != nil {
		return err
	}
	var resources strings.Builder
	var removals []store.Change
	for _, line := range lines {
		if name, gone := strings.CutPrefix(line, "-"); gone {
			typeName, id, _ := strings.Cut(name, "/")
			t, _ := fhir.ParseType(typeName)
			removals = append(removals, store.Change{Type: t, ID: id, Remove: true})
			continue
		}
		resources.WriteString(line + "\n")
	}
	var refused refusals
	summary, err := load.Run(ctx, load.Config{Directory: to, Extractor: extractor, KeepMeta: true, Rejects: &refused},
		[]load.Input{load.FromReader("generated", strings.NewReader(resources.String()))})
	if err != nil {
		return err
	}
	if summary.RefusedTotal() > 0 {
		return fmt.Errorf("the loader refuses what was generated: %s", refused)
	}
	_, err = to.Apply(ctx, removals)
	return err
}

type refusals []string

func (r *refusals) Reject(what load.Rejected) error {
	*r = append(*r, fmt.Sprintf("%s/%s: %s", what.Type, what.ID, what.Reason))
	return nil
}

// nameOf is the Type/id of a generated line.
func nameOf(line string) string {
	d := searchtest.NewDirectory(Base, searchtest.NewZone(time.UTC))
	if err := d.Add([]byte(line), 0); err != nil {
		return ""
	}
	return d.Names()[0]
}

// readBack gives the evaluator the resources as the store serves them.
func (t *Trial) readBack(ctx context.Context, batch map[string]int) error {
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
			if batch[name] == 0 {
				return fmt.Errorf("%s was not loaded, but is there", name)
			}
			return t.Directory.Add(line, batch[name])
		})
		if err != nil {
			return err
		}
	}
	if t.Directory.Size() != len(batch) {
		return fmt.Errorf("%d resources were loaded, %d are there", len(batch), t.Directory.Size())
	}
	return nil
}

// Difference is a query that the two sides answer differently.
type Difference struct {
	Query query.Query
	As    string   // "export", "export with _since", "search"
	Want  []string // what the evaluator finds, if it does not refuse
	Got   []string // what the engine finds
	// Refusals, nil where a side answers.
	Evaluator, Engine error
}

func (d Difference) String() string {
	side := func(ids []string, refusal error) string {
		if refusal != nil {
			return "refused: " + refusal.Error()
		}
		return fmt.Sprint(ids)
	}
	return fmt.Sprintf("%s\n  as %s\n  evaluator %s\n  engine    %s", d.Query, d.As, side(d.Want, d.Evaluator), side(d.Got, d.Engine))
}

// Ask puts a query to both sides. It returns what the evaluator says, and where the
// engine says something else the difference.
func (t *Trial) Ask(ctx context.Context, q query.Query) (searchtest.Answer, *Difference, error) {
	want, refusal := t.Directory.Find(q)
	d := &Difference{Query: q, As: "export", Want: want.IDs, Evaluator: refusal}
	if d.Got, d.Engine = t.Export(ctx, q.String()); d.Engine != nil || refusal != nil {
		if _, ok := fhir.AsIssues(d.Engine); d.Engine != nil && !ok {
			return want, nil, d.Engine
		}
		if d.Engine != nil && refusal != nil {
			d = nil
		}
		return want, d, nil
	}
	if want.Unsure {
		return want, nil, nil
	}
	if !slices.Equal(d.Got, d.Want) {
		return want, d, nil
	}
	d.As = "search"
	var err error
	if d.Got, err = t.Search(ctx, q.String()); err != nil || !slices.Equal(d.Got, d.Want) {
		return want, d, err
	}
	if t.client != nil {
		d.As = "search over HTTP"
		count := 1 + len(q.String())%4 // any, and the same for the same query
		if d.Got, err = t.client.Search(ctx, q.String(), count); err != nil || !slices.Equal(d.Got, d.Want) {
			return want, d, err
		}
	}
	batch := 1 + len(want.IDs)%(len(t.after)-1) // any, and the same for the same query
	since, err := t.Directory.FindSince(q, batch)
	if err != nil || since.Unsure {
		return want, nil, err
	}
	d.As, d.Want = "export with _since", since.IDs
	if d.Got, err = t.Delta(ctx, q.String(), batch); err != nil || !slices.Equal(d.Got, d.Want) {
		return want, d, err
	}
	if since, err = t.Directory.FindSinceUnsuppressed(q, batch); err != nil || since.Unsure {
		return want, nil, err
	}
	d.As, d.Want = "export with _since without suppressed resources", since.IDs
	if d.Got, err = t.DeltaUnsuppressed(ctx, q.String(), batch); err != nil || !slices.Equal(d.Got, d.Want) {
		return want, d, err
	}
	return want, nil, nil
}

// Export returns the ids, in ascending order, that an export without _since holds for
// a filter. Its error is fhir.Issues where the filter is refused.
func (t *Trial) Export(ctx context.Context, filter string) ([]string, error) {
	p, err := t.plan(filter, nil, false)
	if err != nil {
		return nil, err
	}
	return t.selected(ctx, p)
}

// Delta does the same for an export with the _since of the moment after a load, counted
// from 1.
func (t *Trial) Delta(ctx context.Context, filter string, load int) ([]string, error) {
	return t.delta(ctx, filter, load, false)
}

// DeltaUnsuppressed does the same for a client that may not see suppressed resources.
func (t *Trial) DeltaUnsuppressed(ctx context.Context, filter string, load int) ([]string, error) {
	return t.delta(ctx, filter, load, true)
}

func (t *Trial) delta(ctx context.Context, filter string, load int, withoutSuppressed bool) ([]string, error) {
	p, err := t.plan(filter, &t.after[load-1], withoutSuppressed)
	if err != nil {
		return nil, err
	}
	return t.selected(ctx, p)
}

func (t *Trial) plan(filter string, since *fhir.Instant, withoutSuppressed bool) (plan.Plan, error) {
	f, err := t.compiler.ExportFilter(filter, search.Export{May: policy.SuppressedOffered, Since: since, WithoutSuppressed: withoutSuppressed})
	if err != nil {
		return plan.Plan{}, err
	}
	return f.Plan, nil
}

// selected is what an export of the plan would hold.
func (t *Trial) selected(ctx context.Context, p plan.Plan) ([]string, error) {
	var ids []string
	last := store.RowKey(math.MinInt64)
	err := t.snapshot.Select(ctx, p, func(key store.RowKey, _ int64) error {
		if key <= last {
			return fmt.Errorf("row key %d comes behind %d", key, last)
		}
		last = key
		ids = append(ids, t.ids[key])
		return nil
	})
	slices.Sort(ids)
	return ids, err
}

// Search returns the ids, in ascending order, that a search finds. The count must be
// that of its rows.
func (t *Trial) Search(ctx context.Context, text string) ([]string, error) {
	p, err := t.plan(text, nil, false)
	if err != nil {
		return nil, err
	}
	searcher, ok := t.Store.(store.Searcher)
	if !ok {
		return t.selected(ctx, p)
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
		return ids, fmt.Errorf("the search finds %d rows and counts %d, exact %v", len(ids), found.Total, found.Exact)
	}
	slices.Sort(ids)
	return ids, nil
}
