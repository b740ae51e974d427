package searchsql_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql"
	"muster/internal/store/searchsql/optimiser"
	"muster/internal/testkit/golden"
)

func ptr(s string) *string { return &s }

var (
	active  = plan.Visible{Active: true, NotSuppressed: true}
	mobile  = plan.Token{Param: 7, System: ptr("http://snomed.info/sct"), Code: ptr("394802001")}
	hobart  = plan.String{Param: 14, Text: "hobart"}
	clinic  = plan.Reference{Param: 21, Type: "Organization", ID: "clinic"}
	year    = fhir.Period{From: 1_767_225_600_000, To: 1_798_761_600_000}
	changed = plan.Since{After: 1_767_225_600_000}
	balmain = plan.And{plan.String{Param: 12, Text: "balmain"}, active}
	point   = index.Position{Latitude: -33.8688, Longitude: 151.2093}
)

// goldenPlans are the plans of each golden file.
var goldenPlans = map[string][]plan.Node{
	"scan": {
		plan.And{},
		plan.Or{},
		active,
		plan.And{plan.Updated{Compare: plan.Comparison{Prefix: plan.GE, Period: fhir.Period{From: -2_208_988_800_000, To: -2_177_452_800_000}}}, active},
		plan.And{plan.Not{Node: mobile}, plan.Present{Param: 9, Kind: index.Reference}},
		plan.Or{mobile, plan.Not{Node: hobart}},
	},
	"driving": {
		plan.And{active, mobile},
		plan.And{active, hobart, clinic},
		plan.And{plan.And{hobart, active}, plan.And{mobile, plan.Not{Node: plan.Or{clinic, hobart}}}},
		plan.And{plan.IDs{"a", "b"}, mobile, active},
		plan.And{changed, active},
		plan.And{changed, hobart},
	},
	"alternatives": {
		plan.Or{mobile, plan.Token{Param: 7, Code: ptr("1")}},
		plan.And{plan.Or{hobart, plan.Or{clinic, plan.Or{}}}, active},
		plan.Or{plan.IDs{"a"}, changed},
		plan.Or{plan.Or{}, plan.Or{}},
		plan.Or{hobart, plan.And{mobile, active}},
	},
	"entries": {
		plan.Token{Param: 7, Code: ptr("1")},
		plan.Token{Param: 7, System: ptr("")},
		plan.Token{Param: 7},
		plan.String{Param: 14, Text: "Hobart", Exact: true},
		plan.String{Param: 14},
		plan.Reference{Param: 21, ID: "clinic"},
		plan.Reference{Param: 21, Type: "Organization"},
		plan.URI{Param: 30, Value: "http://example.com"},
	},
	"dates": {
		date(plan.EQ), date(plan.NE), date(plan.GT), date(plan.LT), date(plan.GE), date(plan.LE), date(plan.SA), date(plan.EB), date(plan.AP),
	},
	"chains": {
		plan.And{plan.Chain{Param: 30, Type: fhir.Location, Node: balmain}, active},
		plan.And{plan.Has{Param: 31, Type: fhir.HealthcareService, Node: plan.And{mobile, plan.Chain{Param: 32, Type: fhir.Location, Node: balmain}}}, active},
		plan.And{clinic, plan.Chain{Param: 30, Type: fhir.Location, Node: balmain}, plan.Not{Node: plan.Has{Param: 31, Type: fhir.HealthcareService, Node: active}}},
		plan.Or{plan.Chain{Param: 30, Type: fhir.Location, Node: balmain}, plan.Chain{Param: 30, Type: fhir.Organization, Node: plan.And{plan.IDs{"a"}}}},
		plan.AllVisible{Param: 33, Types: []fhir.Type{fhir.Organization, fhir.Location}, Visible: active},
		plan.AllVisible{Param: 33, Types: []fhir.Type{fhir.Organization, fhir.Location}, Visible: plan.Visible{NotSuppressed: true}},
	},
	"values": {
		plan.Near{Param: 50, Point: point, Meters: 500},
		plan.And{clinic, plan.Near{Param: 50, Point: point, Meters: 500}},
		plan.Number{Param: 51, Prefix: plan.GE, Value: 830},
		plan.And{clinic, plan.Number{Param: 51, Prefix: plan.NE, Value: 830}},
		plan.String{Param: 14, Text: "north shore", Contains: true},
		plan.And{clinic, plan.String{Param: 14, Text: "no", Contains: true}},
		plan.TokenPart{Param: 7, System: ptr("http://x"), Text: "12"},
	},
}

func date(p plan.Prefix) plan.Node {
	return plan.Date{Param: 40, Compare: plan.Comparison{Prefix: p, Period: year}}
}

func TestGolden(t *testing.T) {
	for name, nodes := range goldenPlans {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, n := range nodes {
				p := plan.Plan{Type: fhir.PractitionerRole, Root: n}
				fmt.Fprintf(&b, "plan %v\n", p)
				optimised := optimiser.ByHeuristic(p)
				for _, d := range databases {
					s := d.Select(optimised)
					fmt.Fprintf(&b, "%v:\n%s\n\n%s\n", d, s.SQL, arguments(s.Args))
				}
				b.WriteString("----\n\n")
			}
			golden.Check(t, filepath.Join("testdata", name+".txt"), b.String())
		})
	}
}

func arguments(args []any) string {
	var b strings.Builder
	for i, a := range args {
		fmt.Fprintf(&b, "%d: %#v\n", i+1, a)
	}
	return b.String()
}

// TestArgumentsMatch checks that each placeholder has an argument.
func TestArgumentsMatch(t *testing.T) {
	for _, nodes := range goldenPlans {
		for _, n := range nodes {
			optimised := optimiser.ByHeuristic(plan.Plan{Type: fhir.Location, Root: n})
			s := searchsql.SQLite.Select(optimised)
			if marks := strings.Count(s.SQL, "?"); marks != len(s.Args) {
				t.Errorf("%d arguments for\n%s", len(s.Args), s.SQL)
			}
			s = searchsql.PostgreSQL.Select(optimised)
			if marks := strings.Count(s.SQL, "$"); marks != len(s.Args) || strings.Contains(s.SQL, "?") {
				t.Errorf("%d arguments for\n%s", len(s.Args), s.SQL)
			}
		}
	}
}
