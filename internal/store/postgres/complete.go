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
	tableText   = regexp.MustCompile(`(?ms)^CREATE TABLE (\w+) \(\n(.*?)^\)`)
	keyText     = regexp.MustCompile(`(?m)^  (?:PRIMARY KEY|UNIQUE) \(`)
	foreignText = regexp.MustCompile(`(?m)^  FOREIGN KEY \(`)
	indexText   = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) `)
)

// tableParts are the numbers of what belongs to a table.
type tableParts struct {
	indexes     int // with those of its constraints
	foreignKeys int
}

// schemaTables are the tables of the schema.
var schemaTables = func() map[string]tableParts {
	tables := map[string]tableParts{}
	for _, m := range tableText.FindAllStringSubmatch(schemaText, -1) {
		tables[m[1]] = tableParts{len(keyText.FindAllString(m[2], -1)), len(foreignText.FindAllString(m[2], -1))}
	}
	for _, m := range indexText.FindAllStringSubmatch(schemaText, -1) {
		t := tables[m[1]]
		t.indexes++
		tables[m[1]] = t
	}
	return tables
}()

// checkComplete returns an error if tables, indexes, foreign keys or the data of a table are
// missing, as after a dump was restored with errors or in part. Without its indexes a table would
// take rows twice, and without its data an export would be complete without resources.
func checkComplete(ctx context.Context, db sqlrows.Querier) error {
	missing, err := missingParts(ctx, db)
	if err == nil && !slices.ContainsFunc(missing, func(part string) bool { return strings.HasPrefix(part, "table ") }) {
		var data []string
		data, err = missingData(ctx, db)
		missing = append(missing, data...)
	}
	if err != nil {
		return err
	}
	return incomplete(missing)
}

// incomplete returns the error for what is missing, nil for nothing.
func incomplete(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("the database is incomplete, as after a restore with errors or of a part of a dump: %s missing: restore all of the dump again, into an empty database, and read what pg_restore reports", listed(missing))
}

// missingParts returns the tables that are missing, and those without all of their parts.
func missingParts(ctx context.Context, db sqlrows.Querier) (missing []string, err error) {
	found := map[string]tableParts{}
	err = sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
		var table string
		var parts tableParts
		err := rows.Scan(&table, &parts.indexes, &parts.foreignKeys)
		found[table] = parts
		return err
	}, `SELECT relname::text, (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND indisvalid),
		(SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f' AND convalidated)
		FROM pg_class AS c WHERE relnamespace = `+thisSchema+` AND relkind IN ('r', 'p')`)
	for table, want := range schemaTables {
		have, exists := found[table]
		if !exists {
			missing = append(missing, "table "+table)
			continue
		}
		for _, part := range []struct {
			have, want int
			name       string
		}{{have.indexes, want.indexes, "indexes"}, {have.foreignKeys, want.foreignKeys, "foreign keys"}} {
			if part.have < part.want {
				missing = append(missing, fmt.Sprintf("%d of the %d %s of table %s", part.want-part.have, part.want, part.name, table))
			}
		}
	}
	return missing, err
}

// lostData are the tables and sequences, and the conditions under which their data are lost. Most
// tables have a row for this purpose (migrations/directory/00006_markers.sql, and the migrations of
// later tables). The first rows of meta, clock and sequence are written together. Each resource has
// a document, and is counted. A sequence is never behind the ids of its table. Table client_use
// holds the last minutes only: without it clients have the same turn. Without the keys in table
// signing_key, which backups leave out, servers make new ones.
var lostData = []struct{ of, when string }{
	{"ix_token", `NOT EXISTS (SELECT 1 FROM ix_token WHERE row_key = 0)`},
	{"ix_string", `NOT EXISTS (SELECT 1 FROM ix_string WHERE row_key = 0)`},
	{"ix_date", `NOT EXISTS (SELECT 1 FROM ix_date WHERE row_key = 0)`},
	{"ix_reference", `NOT EXISTS (SELECT 1 FROM ix_reference WHERE row_key = 0)`},
	{"ix_uri", `NOT EXISTS (SELECT 1 FROM ix_uri WHERE row_key = 0)`},
	{"ix_number", `NOT EXISTS (SELECT 1 FROM ix_number WHERE row_key = 0)`},
	{"ix_position", `NOT EXISTS (SELECT 1 FROM ix_position WHERE row_key = 0)`},
	{"ix_text", `NOT EXISTS (SELECT 1 FROM ix_text WHERE text_id = 0)`},
	{"ix_gram", `NOT EXISTS (SELECT 1 FROM ix_gram WHERE param = 0)`},
	{"name", `NOT EXISTS (SELECT 1 FROM name WHERE name_id = 0)`},
	{"history", `NOT EXISTS (SELECT 1 FROM history WHERE row_key = 0)`},
	{"tombstone", `NOT EXISTS (SELECT 1 FROM tombstone WHERE type = 0)`},
	{"resource_count", `NOT EXISTS (SELECT 1 FROM resource_count WHERE type = 0)`},
	{"swept", `NOT EXISTS (SELECT 1 FROM swept WHERE type = 0)`},
	{"restored", `NOT EXISTS (SELECT 1 FROM restored WHERE taken = 0)`},
	{"own_form", `NOT EXISTS (SELECT 1 FROM own_form WHERE row_key = 0)`},
	{"removed_reference", `NOT EXISTS (SELECT 1 FROM removed_reference WHERE row_key = 0)`},
	{"cascade", `NOT EXISTS (SELECT 1 FROM cascade WHERE row_key = 0)`},
	{"change", `NOT EXISTS (SELECT 1 FROM change WHERE committed = 9223372036854775807)`},
	{"job", `NOT EXISTS (SELECT 1 FROM job WHERE id = '')`},
	{"part", `NOT EXISTS (SELECT 1 FROM part WHERE job_id = '')`},
	{"part_content", `NOT EXISTS (SELECT 1 FROM part_content WHERE job_id = '')`},
	{"selection", `NOT EXISTS (SELECT 1 FROM selection WHERE job_id = '')`},
	{"members", `NOT EXISTS (SELECT 1 FROM members WHERE time = 0)`},
	{"registered_client", `NOT EXISTS (SELECT 1 FROM registered_client WHERE id = '')`},
	{"used_token", `NOT EXISTS (SELECT 1 FROM used_token WHERE token = '')`},

	{"meta", `NOT EXISTS (SELECT 1 FROM meta) AND (EXISTS (SELECT 1 FROM clock) OR EXISTS (SELECT 1 FROM sequence) OR EXISTS (SELECT 1 FROM resource))`},
	{"clock", `NOT EXISTS (SELECT 1 FROM clock) AND EXISTS (SELECT 1 FROM meta)`},
	{"sequence", `NOT EXISTS (SELECT 1 FROM sequence) AND EXISTS (SELECT 1 FROM meta)`},
	{"resource", `NOT EXISTS (SELECT 1 FROM resource) AND (EXISTS (SELECT 1 FROM doc) OR EXISTS (SELECT 1 FROM resource_count WHERE number > 0))`},
	{"doc", `NOT EXISTS (SELECT 1 FROM doc) AND EXISTS (SELECT 1 FROM resource)`},

	{"ix_text_text_id_seq", behind("ix_text", "text_id")},
	{"name_name_id_seq", behind("name", "name_id")},
	{directoryVersion + "_id_seq", behind(directoryVersion, "id")},
	{jobsVersion + "_id_seq", behind(jobsVersion, "id")},
}

// behind returns the condition under which the sequence of an identity column is missing, or would
// return an id that a row of the table has. A user may write to the table without rights on its
// sequence: then the sequence is not examined.
func behind(table, column string) string {
	sequence := `pg_get_serial_sequence('` + table + `', '` + column + `')`
	return `CASE WHEN ` + sequence + ` IS NULL THEN true WHEN has_sequence_privilege(` + sequence + `, 'SELECT, USAGE')
		THEN (SELECT max(` + column + `) FROM ` + table + `) > coalesce(pg_sequence_last_value(` + sequence + `::regclass), 0) ELSE false END`
}

// missingData returns the tables and sequences whose data are lost. It is one statement, so it
// reads one snapshot.
func missingData(ctx context.Context, db sqlrows.Querier) (missing []string, err error) {
	var conditions []string
	for _, lost := range lostData {
		conditions = append(conditions, `SELECT '`+lost.of+`' WHERE `+lost.when)
	}
	err = sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
		var of string
		err := rows.Scan(&of)
		missing = append(missing, "the data of "+of)
		return err
	}, strings.Join(conditions, ` UNION ALL `))
	return missing, err
}

// checkVersionTable returns an error if the table with the schema version of a part is missing or
// has lost its data. A table that is created has a row.
func checkVersionTable(ctx context.Context, db *sql.DB, table, firstOfPart string) error {
	var exists, part, filled bool
	const named = `EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = ` + thisSchema + ` AND relkind IN ('r', 'p') AND relname = `
	err := db.QueryRowContext(ctx, `SELECT `+named+`$1), `+named+`$2)`, table, firstOfPart).Scan(&exists, &part)
	switch {
	case err != nil:
		return err
	case !exists && part:
		return incomplete([]string{"table " + table})
	case !exists:
		return nil
	}
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+table+`)`).Scan(&filled); err != nil || filled {
		return err
	}
	return incomplete([]string{"the data of " + table})
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
