package load

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// memory is a directory in memory with the outcomes of a real one.
type memory struct {
	store.Directory // methods that a load does not use
	store.Reader
	current  map[string]store.Change
	versions map[string]int64
	order    []string
	apply    func(n int) error // called before the n-th batch
	batches  int
}

func newMemory() *memory {
	return &memory{current: map[string]store.Change{}, versions: map[string]int64{}}
}

func (m *memory) Apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	m.batches++
	if m.apply != nil {
		if err := m.apply(m.batches); err != nil {
			return nil, err
		}
	}
	var outcomes []store.Outcome
	for _, c := range changes {
		key := c.Type.String() + "/" + c.ID
		before, there := m.current[key]
		if c.Revise != nil {
			revised := false
			if there {
				var err error
				if revised, err = c.Revise(store.Current{Visibility: before.Visibility, Line: before.Document.Line(m.versions[key], stamp)}, &c); err != nil {
					return outcomes, err
				}
			}
			if !revised {
				outcomes = append(outcomes, store.Unchanged)
				continue
			}
		}
		switch {
		case !there:
			outcomes = append(outcomes, store.Created)
			m.order = append(m.order, key)
		case before.SourceHash == c.SourceHash:
			outcomes = append(outcomes, store.Unchanged)
			continue
		default:
			outcomes = append(outcomes, store.Updated)
		}
		m.current[key] = c
		m.versions[key]++
	}
	return outcomes, ctx.Err()
}

func (m *memory) Present(_ context.Context, t fhir.Type, ids []string) (map[string]bool, error) {
	present := map[string]bool{}
	for _, id := range ids {
		if _, ok := m.current[t.String()+"/"+id]; ok {
			present[id] = true
		}
	}
	return present, nil
}

func (m *memory) Recall(_ context.Context, versions []store.Version) ([]store.Recalled, error) {
	return make([]store.Recalled, len(versions)), nil
}

// Referrers returns nothing: tests of what refers to removed resources use a real database.
func (m *memory) Referrers(context.Context, fhir.Type, int, fhir.Type, []string, int) ([]store.Row, error) {
	return nil, nil
}

const stamp = fhir.Instant(1_772_323_200_000) // 2026-03-01T00:00:00.000Z

const base = "http://localhost:8080/fhir"

func newExtractor(t testing.TB) *index.Extractor {
	t.Helper()
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	e, err := index.NewExtractor(registry, base)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newPreparer(t testing.TB) *preparer {
	t.Helper()
	table, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	return Config{Extractor: newExtractor(t)}.preparer(table, newBufferPool())
}

// prepareText prepares one resource from its text.
func prepareText(p *preparer, text string) (prepared, *Refusal) {
	v, r := p.parse([]byte(text))
	if r != nil {
		return prepared{}, r
	}
	return p.prepare(context.Background(), v, nil)
}

// stored returns the stored line of a resource.
func stored(t testing.TB, p *preparer, text string) string {
	t.Helper()
	out, r := prepareText(p, text)
	if r != nil {
		t.Fatalf("%s was refused: %v", text, r)
	}
	return string(out.change.Document.Line(1, stamp))
}

// collect is a Rejecter that collects lines.
type collect []Rejected

func (c *collect) Reject(r Rejected) error { *c = append(*c, r); return nil }

// loadAll loads inputs into m and returns the summary, the rejects and the error.
func loadAll(t testing.TB, m *memory, inputs ...Input) (Summary, []string, error) {
	t.Helper()
	var rejects collect
	s, err := Run(t.Context(), Config{Directory: m, Extractor: newExtractor(t), Rejects: &rejects}, inputs)
	var lines []string
	for _, r := range rejects {
		lines = append(lines, fmt.Sprintf("%s:%d %s/%s %s", r.File, r.Line, r.Type, r.ID, r.Reason))
	}
	return s, lines, err
}

func text(name, content string) Input { return FromReader(name, strings.NewReader(content)) }

func org(id string) string {
	return fmt.Sprintf(`{"resourceType":"Organization","id":%q,"active":true,"name":"Harbour Heart"}`, id)
}
