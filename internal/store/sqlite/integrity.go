package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"muster/internal/store"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"
)

const repairDamage = "stop the server, keep a copy of the folder, and restore a backup or load the data into a new directory"

// Integrity implements store.Inspector. For each index table it compares the number and the
// hash sum of the rows of the table with those of its value index. If deep is set, SQLite
// also checks every page, which reads everything and takes long.
func (i *Inspection) Integrity(ctx context.Context, deep bool, yield func(store.IntegrityProblem) error) error {
	// ORDER BY row_key makes SQLite read the table: otherwise it reads the value index for
	// both.
	err := i.CheckDirections(ctx,
		func(*writepath.Table) string { return `NOT INDEXED ORDER BY row_key` },
		func(t *writepath.Table) string {
			return `INDEXED BY ` + t.Name + `_value ORDER BY param, ` + strings.Join(t.Columns, ", ")
		}, yield)
	if err != nil {
		return err
	}
	if err := i.CheckTexts(ctx, yield); err != nil {
		return err
	}
	if err := i.CheckCounts(ctx, yield); err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		db   *sql.DB
	}{{directoryFile, i.directory}, {jobsFile, i.jobs}} {
		err := i.checkForeignKeys(ctx, file.name, file.db, yield)
		if err == nil && deep {
			err = i.checkPages(ctx, file.name, file.db, yield)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkForeignKeys yields the rows that refer to a missing row.
func (i *Inspection) checkForeignKeys(ctx context.Context, name string, db *sql.DB, yield func(store.IntegrityProblem) error) error {
	return sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
		var table, parent string
		var row sql.NullInt64
		var number int
		if err := rows.Scan(&table, &row, &parent, &number); err != nil {
			return err
		}
		return yield(store.IntegrityProblem{
			Place: name + " table " + table, Problem: fmt.Sprintf("row %d belongs to no row of table %s", row.Int64, parent), Remedy: repairDamage,
		})
	}, `PRAGMA foreign_key_check`)
}

// checkPages yields what SQLite reports about the pages of a database and about the
// consistency of its indexes.
func (i *Inspection) checkPages(ctx context.Context, name string, db *sql.DB, yield func(store.IntegrityProblem) error) error {
	err := sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil || text == "ok" {
			return err
		}
		return yield(store.IntegrityProblem{Place: name, Problem: text, Remedy: repairDamage})
	}, `PRAGMA integrity_check`)
	if err != nil {
		return fmt.Errorf("check the integrity of %s: %w", name, explain(i.dir, err))
	}
	return nil
}
