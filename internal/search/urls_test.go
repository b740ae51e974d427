package search

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/testkit/golden"
)

var strict = policy.SearchRules{RequireSubstantive: true}

// TestURLs holds what becomes of each URL in testdata/urls; the README there tells
// the form.
func TestURLs(t *testing.T) {
	t.Attr("requirements", "PG-02 PG-03 PG-06 SR-10 SR-12 SR-20 SR-21 SR-22 SR-23 SR-24 SR-25 SR-30 SR-31 SR-32 SR-33 SR-51 SR-54 TR-01 TR-02 TR-03 TR-04 TR-05 RD-06 RD-07")
	c := compiler(t)
	golden.CheckAnswers(t, "testdata/urls/*.txt", func(t *testing.T, line string) string {
		switch command, text, _ := strings.Cut(line, " "); command {
		case "search":
			return searched(c, text)
		case "read":
			return read(c, text)
		}
		return ""
	})
}

func cutURL(text string) (fhir.Type, string) {
	name, rawQuery, _ := strings.Cut(text, "?")
	t, _ := fhir.ParseType(name)
	return t, rawQuery
}

func searched(c *Compiler, text string) string {
	t, rawQuery := cutURL(text)
	q, err := c.SearchURL(t, rawQuery, strict, policy.FullAccess())
	if err != nil {
		return refusals(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  self %s\n", q.Text())
	for _, o := range q.Order {
		what := string(o.By)
		for _, p := range c.reg.Params(t) {
			if what == "" && p.ID == o.Param {
				what = p.Code
			}
		}
		if o.Point != nil {
			what = fmt.Sprintf("distance from %v|%v", o.Point.Latitude, o.Point.Longitude)
		}
		fmt.Fprintf(&b, "  order %s%s\n", what, map[bool]string{true: " descending"}[o.Descending])
	}
	for _, i := range q.Results.Includes {
		fmt.Fprintf(&b, "  include %s%s%s\n", i.Include, map[bool]string{true: " reverse"}[i.Reverse], map[bool]string{true: " iterate"}[i.Iterate])
	}
	if q.Results.Total != TotalUsual {
		fmt.Fprintf(&b, "  total %s\n", q.Results.Total)
	}
	return b.String() + formed(q.Results.Form)
}

func read(c *Compiler, text string) string {
	f, err := c.ReadURL(cutURL(text))
	if err != nil {
		return refusals(err)
	}
	return formed(f)
}

func formed(f Representation) string {
	if f.Summary == SummaryFalse && len(f.Elements) == 0 && !f.Pretty {
		return ""
	}
	return fmt.Sprintf("  form summary %q elements %q pretty %v\n", f.Summary, elementNames(f.Elements), f.Pretty)
}

func refusals(err error) string {
	issues, _ := fhir.AsIssues(err)
	var b strings.Builder
	for _, i := range issues {
		fmt.Fprintf(&b, "  refused %s: %s\n", i.Code, i.Diagnostics)
	}
	return b.String()
}

// FuzzSearch: nothing that a client writes panics, and what was understood is
// understood the same from the link self.
func FuzzSearch(f *testing.F) {
	for _, rawQuery := range []string{
		"name=Aged+Care&_sort=-name&_count=10", "_id=a,b&_include:iterate=PractitionerRole:practitioner&_elements=name,active",
		"location.address-city=Balmain&_revinclude=Provenance:target", "_has:PractitionerRole:practitioner:role=a%7Cb&_total=accurate&_summary=count",
		"near=-33.8|151.2|5|km&_sort=-near", "name=%C3%A9%2C&_pretty=true&_format=json", "_sort=,&_include=::&_count=%", "&&=&==",
	} {
		for t := range fhir.Types() {
			f.Add(t, rawQuery)
		}
	}
	c := compiler(f)
	f.Fuzz(func(t *testing.T, typ int, rawQuery string) {
		rt := fhir.Types()[uint(typ)%uint(len(fhir.Types()))]
		_, _ = c.ReadURL(rt, rawQuery)
		q, err := c.SearchURL(rt, rawQuery, strict, policy.FullAccess())
		if err != nil {
			if issues, ok := fhir.AsIssues(err); !ok || len(issues) == 0 {
				t.Fatalf("the error is not a list of issues: %v", err)
			}
			return
		}
		_, again := cutURL(q.Text())
		same, err := c.SearchURL(rt, again, strict, policy.FullAccess())
		if err != nil {
			t.Fatalf("%q was understood, its canonical form %q is not: %v", rawQuery, q.Text(), err)
		}
		q.Results.Form.Pretty = false // not in the link self
		if diff := cmp.Diff([]any{q.Plan, q.Order, q.Results}, []any{same.Plan, same.Order, same.Results}, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q and its canonical form %q differ:\n%s", rawQuery, q.Text(), diff)
		}
		if q.Results.Count < 1 || q.Results.Count > MaxCount {
			t.Fatalf("%q: pages of %d", rawQuery, q.Results.Count)
		}
	})
}
