package sqlite

import (
	"strings"
	"testing"
	"time"

	"muster/internal/testkit/golden"
)

// TestSchema compares schema.sql with the result of the migrations. The file shows the whole
// schema in one place, and a migration as a diff.
func TestSchema(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	rows, err := s.reads.QueryContext(t.Context(), `SELECT sql FROM sqlite_schema
		WHERE sql IS NOT NULL AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY tbl_name, type DESC, name`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	b.WriteString("-- The schema of directory.db after all migrations. Written by: go test ./internal/store/sqlite -run TestSchema -update\n")
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n" + text + ";\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "schema.sql", b.String())
}
