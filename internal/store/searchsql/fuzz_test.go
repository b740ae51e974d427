package searchsql_test

import (
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql"
)

// What statements may not exceed: SQLite's limits, which are the smaller ones.
const (
	mostArguments = 32_766
	mostText      = 4 << 20
)

// FuzzSearch reads, plans and writes any text, for both databases. Whatever comes is
// refused with issues, or its statements are whole and bounded.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{
		"Organization?name=clinic", "PractitionerRole?location.address-city=Balmain,Rozelle&starttime=ge0800",
		"Practitioner?_has:PractitionerRole:practitioner:location.near=-33.8|151.2|5|km", "Provenance?target.name:contains=a&recorded=ap2026",
		"Location?near=1|2,3|4&name:missing=true", "Practitioner?identifier-r5:contains=s|12&communication:not=it,de",
		"Provenance?_has:Provenance:entity:_has:Provenance:entity:target._id=a,b", "Provenance?target.resolve().as(Organization)",
		"Organization?partof.partof.partof.partof.partof.partof.partof.partof.partof.name=a",
	} {
		f.Add(seed, "-_lastUpdated,name")
	}
	c := compiler(f)
	f.Fuzz(func(t *testing.T, text, sort string) {
		q, err := ask(c, text, sort)
		if err != nil {
			q, err = ask(c, text, "")
		}
		if err != nil {
			if issues, ok := fhir.AsIssues(err); !ok || len(issues) == 0 {
				t.Fatalf("%q by %q: the error is not a list of issues: %v", text, sort, err)
			}
			return
		}
		for _, d := range databases {
			requireBounded(t, d, q.Plan, q.Order)
		}
	})
}

// requireBounded writes all statements of a plan.
func requireBounded(t *testing.T, d searchsql.Dialect, p plan.Plan, order []plan.Order) {
	t.Helper()
	work := searchsql.Arrange(p)
	statements := append(d.Page(work, order, 30), d.Select(work), d.Total(work, 1001), d.Total(work, -1))
	for _, s := range statements {
		if len(s.Args) > mostArguments || len(s.SQL) > mostText {
			t.Fatalf("a statement of %d arguments and %d bytes", len(s.Args), len(s.SQL))
		}
		if d == searchsql.SQLite && strings.Count(s.SQL, "?") != len(s.Args) {
			t.Fatalf("%d arguments for\n%s", len(s.Args), s.SQL)
		}
	}
}

// TestHostile: a search that would cost too much is refused with a reason, and what
// is not refused stays within what the databases take.
func TestHostile(t *testing.T) {
	t.Attr("requirements", "SR-24")
	many := strings.TrimSuffix(strings.Repeat("a,", 500), ",")
	points := strings.TrimSuffix(strings.Repeat("1|2|3,", 190), ",")
	for _, c := range []struct{ text, refused string }{
		{"Organization?name=" + many, ""},
		{"Organization?name:contains=" + many, ""},
		{"Organization?type:not=" + many, ""},
		{"Organization?_id=" + many, ""},
		{"Organization?name=" + many + ",a", "more than 500 values"},
		{"Organization?partof." + strings.Repeat("partof.", 9) + "name=a", ""},
		{"Organization?partof." + strings.Repeat("partof.", 10) + "name=a", "more than 10 steps"},
		{"Location?near=" + points, ""},
		{"HealthcareService?location.near=" + points, ""},
		{"Location?near=" + points + ",1|2&near=" + points, "more than 2000 conditions"},
		{"Provenance?target._has:Provenance:target:target._has:Provenance:target:target._has:Provenance:target:target._id=" + many, "more than 2000 conditions"},
		{"Provenance?" + strings.Repeat("target.name=a&", 400), "more than 2000 conditions"},
		{"Organization?name=" + strings.Repeat("a", 70_000), "at most 65536"},
	} {
		filter, err := compiler(t).ExportFilter(c.text, search.Export{May: policy.SuppressedOffered})
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%.80s… is not refused because of %q: %.300v", c.text, c.refused, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.80s… is refused: %v", c.text, err)
			continue
		}
		for _, d := range databases {
			requireBounded(t, d, filter.Plan, nil)
		}
	}
}
