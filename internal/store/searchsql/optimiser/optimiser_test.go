package optimiser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/optimiser"
	"muster/internal/store/searchsql/sqlwriter"
)

// TestSmallestSetDrives checks that the condition with the fewest rows drives, and the
// cheapest kind among equals.
func TestSmallestSetDrives(t *testing.T) {
	const limit = 50_000
	system, code := "http://snomed.info/sct", "394802001"
	p := plan.Plan{Type: fhir.Location, Root: plan.And{
		plan.Visible{Active: true, NotSuppressed: true},
		plan.String{Param: 14, Text: "hobart"},
		plan.Token{Param: 7, System: &system, Code: &code},
		plan.Reference{Param: 21, Type: "Organization", ID: "clinic"},
	}}
	for _, c := range []struct {
		texts, tokens, references int64
		driving                   string
	}{
		{5, 7, 9, "ix_string"},
		{7, 5, 9, "ix_token"},
		{7, 5, 0, "ix_reference"},
		{7000, 500, 2000, "ix_token"},
		{limit, limit, limit, "ix_reference"},
		{3, 3, 9, "ix_token"},
	} {
		for _, d := range []sqlwriter.Dialect{sqlwriter.SQLite, sqlwriter.PostgreSQL} {
			rows := map[string]int64{"ix_string": c.texts, "ix_token": c.tokens, "ix_reference": c.references}
			optimised, err := optimiser.Optimise(t.Context(), d, p, limit, countByTable(rows))
			if err != nil {
				t.Fatal(err)
			}
			statement := d.Select(optimised).SQL
			if _, from, _ := strings.Cut(statement, "ix_"); !strings.HasPrefix("ix_"+from, c.driving+" AS t1") {
				t.Errorf("%v: %s does not drive\n%s", d, c.driving, statement)
			}
		}
	}
}

// countByTable returns the number of rows of the table that a count names, up to the
// limit of the count.
func countByTable(rows map[string]int64) optimiser.CountFunc {
	return func(_ context.Context, s sqlwriter.Statement) (int64, error) {
		limit := s.Args[len(s.Args)-1].(int64)
		for table, n := range rows {
			if strings.Contains(s.SQL, "FROM "+table+" ") {
				return min(n, limit), nil
			}
		}
		return 0, fmt.Errorf("unexpected count: %s", s.SQL)
	}
}
