package postgres

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"muster/internal/store/sqlrows"
)

// schemaText is the schema after all migrations; TestSchema keeps it up to date.
//
//go:embed schema.sql
var schemaText string

var (
	tableText = regexp.MustCompile(`(?ms)^CREATE TABLE (\w+) \(\n(.*?)^\)`)
	keyText   = regexp.MustCompile(`(?m)^  (?:PRIMARY KEY|UNIQUE) \(`)
	indexText = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) `)
)

// schemaIndexes is the number of indexes of each table, with those of its constraints.
var schemaIndexes = func() map[string]int {
	indexes := map[string]int{}
	for _, m := range tableText.FindAllStringSubmatch(schemaText, -1) {
		indexes[m[1]] = len(keyText.FindAllString(m[2], -1))
	}
	for _, m := range indexText.FindAllStringSubmatch(schemaText, -1) {
		indexes[m[1]]++
	}
	return indexes
}()

// checkComplete returns an error if tables, or the indexes of a table, are missing, as after a
// dump was restored with errors. Without its indexes a table would take rows twice.
func checkComplete(ctx context.Context, db sqlrows.Querier) error {
	rows, err := db.QueryContext(ctx, `SELECT relname::text, (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND indisvalid)
		FROM pg_class AS c WHERE relnamespace = `+thisSchema+` AND relkind IN ('r', 'p')`)
	if err != nil {
		return err
	}
	found := map[string]int{}
	_, err = sqlrows.Collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var table string
		var indexes int
		err := rows.Scan(&table, &indexes)
		found[table] = indexes
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	var missing []string
	for table, want := range schemaIndexes {
		switch have, exists := found[table]; {
		case !exists:
			missing = append(missing, "table "+table)
		case have < want:
			missing = append(missing, fmt.Sprintf("%d of the %d indexes of table %s", want-have, want, table))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("the database is incomplete, as after a restore with errors: %s missing: restore the dump again, into an empty database, and read what pg_restore reports", listed(missing))
}

// listed lists what is missing, with a verb: the first three names, and the number of the others.
func listed(names []string) string {
	const shown = 3
	switch n := len(names); {
	case n == 1:
		return names[0] + " is"
	case n > shown:
		return fmt.Sprintf("%s and %d more are", strings.Join(names[:shown], ", "), n-shown)
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}
