package searchsql_test

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql"
	"muster/internal/store/searchsql/optimiser"
)

// Example writes a plan with two conditions for SQLite. The name drives; the visibility is
// checked for each row.
func Example() {
	p := plan.Plan{Type: fhir.Organization, Root: plan.And{
		plan.String{Param: 14, Text: "Hobart Clinic", Exact: true},
		plan.Visible{Active: true, NotSuppressed: true},
	}}
	statement := searchsql.SQLite.Select(optimiser.ByHeuristic(p))
	fmt.Println(statement.SQL)
	fmt.Println(statement.Args)
	// Output:
	// SELECT r.row_key, r.size
	// FROM ix_string AS t1 INDEXED BY ix_string_value
	//   CROSS JOIN resource AS r NOT INDEXED ON r.row_key = t1.row_key
	// WHERE t1.param = ? AND t1.norm = ? AND t1.exact = ? AND t1.row_key BETWEEN ? AND ?
	//   AND (r.visibility & ? = 0)
	// ORDER BY t1.row_key
	// [14 hobart clinic Hobart Clinic 1099511627777 2199023255551 7]
}
