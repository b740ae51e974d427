package load

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestRecompose compares the difference between two forms of a resource with the complete entries of
// both, for resources with states of their own and without (SU-07).
func TestRecompose(t *testing.T) {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	extractor := newExtractor(t)
	rules, err := NewRules(registry, extractor)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "conforming.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	const suppressed = `"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[` +
		`{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"practitioner-initiated"}]}}]}],`
	states := []index.Visibility{
		0, index.Inactive, index.Suppressed | index.ByOrganisation, index.Suppressed | index.ByPractitioner,
		index.Inactive | index.Suppressed | index.ByOrganisation | index.ByPractitioner,
	}
	p := newPreparer(t)
	differences := 0
	for line := range strings.Lines(string(text)) {
		for _, own := range []string{
			line,
			strings.NewReplacer(`"active":true,`, ``, `"status":"active",`, ``).Replace(line),
			strings.NewReplacer(`"active":true`, `"active":false`, `"status":"active"`, `"status":"suspended"`).Replace(line),
			strings.Replace(line, `"meta":`, suppressed+`"meta":`, 1),
		} {
			ready, r := prepareText(p, own)
			if r != nil {
				continue // it had an extension already
			}
			c := ready.change
			if c.Type == fhir.Organization || c.Type == fhir.Practitioner || c.Type == fhir.Provenance {
				continue // they inherit nothing
			}
			for _, before := range states {
				_, was, err := rules.Compose(c.Type, c.ID, c.Document, before)
				if err != nil {
					t.Fatal(err)
				}
				for _, after := range states {
					want, now, err := rules.Compose(c.Type, c.ID, c.Document, after)
					if err != nil {
						t.Fatal(err)
					}
					shown, difference, err := rules.Recompose(c.Type, c.ID, c.Document, before, after)
					if err != nil {
						t.Fatal(err)
					}
					if diff := gocmp.Diff(string(want.Tail), string(shown.Tail)); diff != "" {
						t.Fatalf("%v/%s from %b to %b (-want +got)\n%s", c.Type, c.ID, before, after, diff)
					}
					if diff := gocmp.Diff(compareAll(was, now), sortDifference(difference)); diff != "" {
						t.Fatalf("%v/%s from %b to %b (-want +got)\n%s", c.Type, c.ID, before, after, diff)
					}
					differences += len(difference.Added) + len(difference.Gone)
				}
			}
		}
	}
	if differences == 0 {
		t.Error("no resource shows what it inherits in its entries")
	}
}

// compareAll returns the difference between two lists, in the order of sortDifference.
func compareAll(was, now []index.Entry) (d index.Difference) {
	for _, e := range was {
		if !slices.Contains(now, e) {
			d.Gone = append(d.Gone, e)
		}
	}
	for _, e := range now {
		if !slices.Contains(was, e) {
			d.Added = append(d.Added, e)
		}
	}
	return sortDifference(d)
}

func sortDifference(d index.Difference) index.Difference {
	for _, list := range [][]index.Entry{d.Gone, d.Added} {
		slices.SortFunc(list, func(a, b index.Entry) int {
			return cmp.Or(cmp.Compare(a.Param, b.Param), cmp.Compare(a.System, b.System), cmp.Compare(a.Code, b.Code))
		})
	}
	return d
}
