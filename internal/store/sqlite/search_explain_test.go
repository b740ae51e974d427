package sqlite

import (
	"testing"
	"time"

	"muster/internal/store/searchsql"
	"muster/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// TestExplainReader holds what SQLite makes of the statements of the reader. Run with
// statistics, as [TestExplain] is.
func TestExplainReader(t *testing.T) {
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
			got := explained(t, s, searchsql.Statement{SQL: c.text, Args: c.args})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
