package sqlite

import (
	"strings"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql"
	"muster/internal/store/searchsql/optimiser"
	"muster/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// TestSelectQueryPlan checks the query plans of selections: which indexes SQLite uses, and that
// it does not sort. It fails if a new SQLite, or the statistics of an ANALYZE, change them.
func TestSelectQueryPlan(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	if _, err := s.Apply(t.Context(), storetest.Changes(300)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.db.ExecContext(t.Context(), `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	word := "x"
	active := plan.Visible{Active: true}
	token := plan.Token{Param: 1, System: &word, Code: &word}
	text := plan.String{Param: 2, Text: "x"}
	day := plan.Comparison{Prefix: plan.GE, Period: fhir.Period{From: 1, To: 2}}
	const (
		scan  = "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
		row   = "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"
		names = "SEARCH name USING COVERING INDEX sqlite_autoindex_name_1 (text=?)"
		run   = "SEARCH t1 USING COVERING INDEX ix_token_value (param=? AND code=? AND system=? AND row_key>? AND row_key<?)"
	)
	for _, c := range []struct {
		name string
		root plan.Node
		want []string
	}{
		{"all", plan.And{}, []string{scan}},
		{"visible and updated", plan.And{active, plan.Updated{Compare: day}}, []string{row,
			"SEARCH t1 USING COVERING INDEX resource_updated (type=? AND last_updated>?)"}},
		{"token", plan.And{token, active}, []string{run, names, row}},
		{"code", plan.Token{Param: 1, Code: &word}, []string{row,
			"SEARCH t1 USING COVERING INDEX ix_token_value (param=? AND code=?)"}},
		{"text", text, []string{row,
			"SEARCH t1 USING COVERING INDEX ix_string_value (param=? AND norm>? AND norm<?)"}},
		{"since", plan.Since{After: 1}, []string{row,
			"SEARCH t1 USING COVERING INDEX resource_committed (type=? AND committed>?)"}},
		{"ids", plan.IDs{"a"}, []string{row,
			"SCAN t2 VIRTUAL TABLE INDEX 1:",
			"SEARCH t1 USING COVERING INDEX resource_id (type=? AND id=?)"}},
		{"checks", plan.And{token, text, plan.Not{Node: plan.Present{Param: 3, Kind: index.Date}}}, []string{run, names, row,
			"SEARCH t3 USING PRIMARY KEY (row_key=? AND param=?)",
			"SEARCH t2 EXISTS USING PRIMARY KEY (row_key=? AND param=? AND norm>? AND norm<?)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := queryPlan(t, s, searchsql.SQLite.Select(optimiser.ByHeuristic(plan.Plan{Type: fhir.Location, Root: c.root})))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// queryPlan returns the steps of the query plan that read a table or sort.
func queryPlan(t *testing.T, s *Store, statement searchsql.Statement) (steps []string) {
	t.Helper()
	rows, err := s.reads.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement.SQL, statement.Args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(detail, "SE") || strings.HasPrefix(detail, "SCAN") || strings.HasPrefix(detail, "USE") {
			steps = append(steps, detail)
		}
	}
	return steps
}

// TestReaderQueryPlan checks the query plans of store.Reader, with statistics as in
// [TestSelectQueryPlan].
func TestReaderQueryPlan(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	if _, err := s.Apply(t.Context(), storetest.Changes(300)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.db.ExecContext(t.Context(), `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	const (
		list  = "SCAN j VIRTUAL TABLE INDEX 1:"
		row   = "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"
		names = "SEARCH name USING COVERING INDEX sqlite_autoindex_name_1 (text=?)"
		run   = " USING COVERING INDEX ix_reference_value (param=? AND id=? AND type=? AND row_key>"
	)
	for _, c := range []struct {
		name, text string
		args       []any
		want       []string
	}{
		{"rows", rowsOfKeys, []any{"[]"}, []string{list, row}},
		{"lookup", rowsOfIDs, []any{2, "[]"}, []string{list, "SEARCH r USING INDEX resource_id (type=? AND id=?)"}},
		{"references", referencesOfRows, []any{"[]", 1}, []string{list,
			"SEARCH x USING PRIMARY KEY (row_key=? AND param=?)",
			"SEARCH n USING INTEGER PRIMARY KEY (rowid=?)"}},
		{"referrers", referrersOfIDs, []any{"[]", 1, "Location", 1, 2, 3}, []string{row, list,
			"SEARCH x" + run + "? AND row_key<?)", names, "SEARCH y" + run + "?)", names}},
		{"bodies", bodiesOfKeys, []any{"[]"}, []string{list, row, "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := queryPlan(t, s, searchsql.Statement{SQL: c.text, Args: c.args})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
