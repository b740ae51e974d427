package sqlgen

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

func text(s string) *string { return &s }

var (
	active  = plan.Visible{Active: true, NotSuppressed: true}
	mobile  = plan.Token{Param: 7, System: text("http://snomed.info/sct"), Code: text("394802001")}
	hobart  = plan.String{Param: 14, Text: "hobart"}
	clinic  = plan.Reference{Param: 21, Type: "Organization", ID: "clinic"}
	year    = fhir.Period{From: 1_767_225_600_000, To: 1_798_761_600_000}
	changed = plan.Since{After: 1_767_225_600_000}
)

// plans are the goldens by file: a theme each.
var plans = map[string][]plan.Node{
	"scan": {
		plan.And{},
		plan.Or{},
		active,
		plan.And{plan.Updated{Compare: plan.Comparison{Prefix: plan.GE, Period: fhir.Period{From: -2_208_988_800_000, To: -2_177_452_800_000}}}, active},
		plan.And{plan.Not{Node: mobile}, plan.Present{Param: 9, Kind: index.Reference}},
		plan.Or{mobile, plan.Not{Node: hobart}},
	},
	"drive": {
		plan.And{active, mobile},
		plan.And{active, hobart, clinic},
		plan.And{plan.And{hobart, active}, plan.And{mobile, plan.Not{Node: plan.Or{clinic, hobart}}}},
		plan.And{plan.IDs{"a", "b"}, mobile, active},
		plan.And{changed, active},
		plan.And{changed, hobart},
	},
	"alternatives": {
		plan.Or{mobile, plan.Token{Param: 7, Code: text("1")}},
		plan.And{plan.Or{hobart, plan.Or{clinic, plan.Or{}}}, active},
		plan.Or{plan.IDs{"a"}, changed},
		plan.Or{plan.Or{}, plan.Or{}},
		plan.Or{hobart, plan.And{mobile, active}},
	},
	"entries": {
		plan.Token{Param: 7, Code: text("1")},
		plan.Token{Param: 7, System: text("")},
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
}

func date(p plan.Prefix) plan.Node {
	return plan.Date{Param: 40, Compare: plan.Comparison{Prefix: p, Period: year}}
}

func TestGolden(t *testing.T) {
	for name, nodes := range plans {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, n := range nodes {
				p := plan.Plan{Type: fhir.PractitionerRole, Root: n}
				s := SQLite(p)
				fmt.Fprintf(&b, "plan %v\n%s\n\n%s", p, s.SQL, arguments(s.Args))
				b.WriteString("\n----\n\n")
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s (-file +code; run with -update to accept)\n%s", file, diff)
			}
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

func TestCountsDecide(t *testing.T) {
	p := plan.Plan{Type: fhir.Location, Root: plan.And{active, hobart, mobile, clinic}}
	if n := len(SQLiteCounts(p)); n != 3 {
		t.Fatalf("%d counts, want one for each of the three that can drive", n)
	}
	if n := len(SQLiteCounts(plan.Plan{Type: fhir.Location, Root: plan.And{active, hobart}})); n != 0 {
		t.Errorf("%d counts where there is no choice", n)
	}
	for _, c := range []struct {
		counts []int64
		driver string
	}{
		{[]int64{5, 7, 9}, "ix_string"},
		{[]int64{7, 5, 9}, "ix_token"},
		{[]int64{7, 5, 0}, "ix_reference"},
		{[]int64{CountBound, CountBound, CountBound}, "ix_reference"},
		{[]int64{3, 3, 9}, "ix_token"},
	} {
		s := SQLiteBy(p, c.counts)
		if !strings.Contains(s.SQL, c.driver+"_value") {
			t.Errorf("counts %v: %s does not drive\n%s", c.counts, c.driver, s.SQL)
		}
	}
}

// TestArgumentsMatch counts question marks: each has its argument.
func TestArgumentsMatch(t *testing.T) {
	for _, nodes := range plans {
		for _, n := range nodes {
			s := SQLite(plan.Plan{Type: fhir.Location, Root: n})
			if marks := strings.Count(s.SQL, "?"); marks != len(s.Args) {
				t.Errorf("%d arguments for\n%s", len(s.Args), s.SQL)
			}
		}
	}
}

func TestAfter(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"a", "b"}, {"ab", "ac"}, {"\u007f", "\u0080"}, {"é", "ê"}, {"\ud7ff", "\ue000"},
		{"\uffff", "\U00010000"}, {"a\U0010FFFF", "b"}, {"\U0010FFFF", ""}, {"", ""},
	} {
		if got, ok := after(c.prefix); got != c.want || ok != (c.want != "") {
			t.Errorf("after(%q) = %q, %v; want %q", c.prefix, got, ok, c.want)
		}
	}
}
