package searchsql_test

import (
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql"
	"muster/internal/store/searchsql/optimiser"
)

// The limits of a statement. SQLite's are the lower ones.
const (
	maxArguments = 32_766
	maxText      = 4 << 20
)

// FuzzSearch parses, plans and writes random queries for both databases. Each query must
// be refused with fhir.Issues, or its statements must be complete and within the limits.
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
		q, err := compile(c, text, sort)
		if err != nil {
			q, err = compile(c, text, "")
		}
		if err != nil {
			if issues, ok := fhir.AsIssues(err); !ok || len(issues) == 0 {
				t.Fatalf("%q sorted by %q: the error is not fhir.Issues: %v", text, sort, err)
			}
			return
		}
		for _, d := range databases {
			requireBounded(t, d, q.Plan, q.Order)
		}
	})
}

// requireBounded writes all statements of a plan and checks their limits.
func requireBounded(t *testing.T, d searchsql.Dialect, p plan.Plan, order []plan.Order) {
	t.Helper()
	optimised := optimiser.ByHeuristic(p)
	statements := append(d.Page(optimised, order, 30), d.Select(optimised), d.Total(optimised, 1001), d.Total(optimised, -1))
	for _, s := range statements {
		if len(s.Args) > maxArguments || len(s.SQL) > maxText {
			t.Fatalf("a statement has %d arguments and %d bytes", len(s.Args), len(s.SQL))
		}
		if d == searchsql.SQLite && strings.Count(s.SQL, "?") != len(s.Args) {
			t.Fatalf("%d arguments for\n%s", len(s.Args), s.SQL)
		}
	}
}

// TestHostile checks that a query which is too expensive is refused with a reason, and
// that the statements of all other queries are within the limits of the databases.
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
		filter, err := compiler(t).ExportFilter(c.text, search.Export{May: policy.FullAccess()})
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%.80s…: got error %.300v, want %q", c.text, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.80s…: %v", c.text, err)
			continue
		}
		for _, d := range databases {
			requireBounded(t, d, filter.Plan, nil)
		}
	}
}
