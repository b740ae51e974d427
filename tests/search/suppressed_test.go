package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/searchtest"
	"muster/internal/searchtest/compare"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// TestSuppressedProvenance checks that a Provenance with the suppression extension is
// hidden in every interaction, although its target is visible (SU-01). A delta contains it
// unless the delta excludes suppressed resources. Such a delta also excludes a Provenance
// with a suppressed or missing target. Every delta contains a Provenance with an inactive
// target.
func TestSuppressedProvenance(t *testing.T) {
	t.Attr("req", "SU-01 VI-01 VI-02 VI-08 VI-09 VI-10 VI-14 VI-16")
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			p := newProvenances(t, open(t, reg), reg)
			for _, c := range []struct{ text, want string }{
				{"Provenance?recorded=2026-01-15", "plain"},
				{"Provenance?_id=hidden", ""},
				{"Provenance?target=seen", "plain"},
				{"Organization?name=a", "seen"},
				{"Organization?_id=seen&_revinclude=Provenance:target", "seen Provenance/plain"},
				{"Organization?_has:Provenance:target:_id=hidden", ""},
				{"Organization?_has:Provenance:target:_id=plain", "seen"},
			} {
				if got := p.search(c.text); got != c.want {
					t.Errorf("%s finds %q, want %q", c.text, got, c.want)
				}
			}
			if got := p.read("Provenance/hidden"); got != "not-found" {
				t.Errorf("read of the hidden Provenance: %s", got)
			}
			if got := p.read("Provenance/plain"); got != "plain" {
				t.Errorf("read of the other Provenance: %s", got)
			}
			for _, c := range []struct{ filter, snapshot, delta, unsuppressed string }{
				{"Provenance?recorded=2026-01-15", "plain", "closed gone hidden ofhidden plain", "closed plain"},
				{"Organization?_has:Provenance:target:_id=hidden", "", "seen", ""},
				{"Organization?_has:Provenance:target:_id=closed", "", "closed", "closed"},
				{"Organization?_has:Provenance:target:_id=ofhidden", "", "hidden", ""},
				{"Organization?name=a", "seen", "closed hidden seen", "closed seen"},
				{"Organization?name=a&suppressed=true", "hidden", "closed hidden seen", "closed seen"},
			} {
				for _, kind := range []struct {
					name, want string
					since      *fhir.Instant
					without    bool
				}{{"snapshot", c.snapshot, nil, false}, {"delta", c.delta, new(fhir.Instant), false}, {"delta without suppressed", c.unsuppressed, new(fhir.Instant), true}} {
					if got := p.export(c.filter, kind.since, kind.without); got != kind.want {
						t.Errorf("%s of %s contains %q, want %q", kind.name, c.filter, got, kind.want)
					}
				}
			}
		})
	}
}

// provenances is a directory with a Provenance in each state.
type provenances struct {
	*testing.T
	store    store.Searcher
	compiler *search.Compiler
	client   *compare.Client
}

func newProvenances(t *testing.T, c compare.Config, reg *conformance.Registry) *provenances {
	t.Helper()
	hidden, err := expandResource("Organization", "hidden", `{"name":"A","extension":["suppressed(organisation-initiated|true)"]}`)
	if err != nil {
		t.Fatal(err)
	}
	trial, err := c.Open(t.Context(), searchtest.Batches{{
		`{"resourceType":"Organization","id":"seen","name":"A"}`,
		`{"resourceType":"Organization","id":"closed","name":"A","active":false}`,
		hidden,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trial.Close(); err != nil {
			t.Error(err)
		}
	})
	extractor, err := index.NewExtractor(reg, compare.Base)
	if err != nil {
		t.Fatal(err)
	}
	var changes []store.Change
	for _, p := range []struct{ id, target, extension string }{
		{"plain", "seen", ""}, {"closed", "closed", ""}, {"ofhidden", "hidden", ""}, {"gone", "missing", ""},
		{"hidden", "seen", `"extension":[{"url":"` + index.SuppressedURL + `"}],`},
	} {
		changes = append(changes, provenance(extractor, p.id, p.target, p.extension))
	}
	if _, err := trial.Store.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	client, err := trial.Serve(blobs)
	if err != nil {
		t.Fatal(err)
	}
	return &provenances{t, trial.Store.(store.Searcher), search.New(reg, compare.Base, index.Zone()), client}
}

// provenance returns the change that writes a Provenance.
func provenance(e *index.Extractor, id, target, extension string) store.Change {
	rest := extension + `"target":[{"reference":"Organization/` + target + `"}],"recorded":"2026-01-15T00:00:00Z","agent":[{"who":{"reference":"Organization/seen"}}]}`
	v := fastjson.MustParse(`{"resourceType":"Provenance","id":"` + id + `",` + rest)
	return store.Change{
		Type: fhir.Provenance, ID: id, Visibility: policy.OwnState(fhir.Provenance, v), Entries: e.Extract(nil, fhir.Provenance, v),
		Document: store.Document{Head: fmt.Appendf(nil, `{"resourceType":"Provenance","id":"%s","meta":{`, id), Tail: []byte(`},` + rest)},
	}
}

// search returns the ids of the matches and the Type/id of the included resources.
func (p *provenances) search(text string) string {
	p.Helper()
	a, err := p.client.Get(p.Context(), text)
	if err != nil || a.Refused != nil {
		p.Fatalf("%s: %v %v", text, err, a.Refused)
	}
	slices.Sort(a.Matches)
	return strings.Join(append(a.Matches, a.Includes...), " ")
}

// read returns the id of the resource, or the code of the error.
func (p *provenances) read(name string) string {
	p.Helper()
	a, err := p.client.Get(p.Context(), name)
	if err != nil {
		p.Fatal(err)
	}
	if a.Refused != nil {
		return string(a.Refused[0].Code)
	}
	return a.ID
}

// export returns the ids of an export with a filter.
func (p *provenances) export(filter string, since *fhir.Instant, withoutSuppressed bool) string {
	p.Helper()
	f, err := p.compiler.ExportFilter(filter, search.Export{May: policy.FullAccess(), Since: since, WithoutSuppressed: withoutSuppressed})
	if err != nil {
		p.Fatal(err)
	}
	found, err := p.store.Search(p.Context(), store.Search{Plan: f.Plan, Limit: 100})
	if err != nil {
		p.Fatal(err)
	}
	var ids []string
	for _, row := range found.Rows {
		ids = append(ids, row.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}
