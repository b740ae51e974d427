package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"muster/internal/filelock"
	"muster/internal/store"
	"muster/internal/store/inspectsql"
	"muster/internal/store/writepath"
)

const wayOfDamage = "stop the server, keep a copy of the folder, and restore a backup or load the data into a new directory"

// Integrity implements store.Inspector. Without deep it holds the number and the
// sum of what each index table gives row-first against what it gives value-first;
// deep is SQLite's own check of every page, which reads everything and takes as
// long.
func (i *Inspection) Integrity(ctx context.Context, deep bool, yield func(store.Complaint) error) error {
	// The order makes SQLite take the table itself: left alone it reads the value
	// index here too.
	err := i.BothWays(ctx,
		func(*writepath.Table) string { return `NOT INDEXED ORDER BY row_key` },
		func(t *writepath.Table) string {
			return `INDEXED BY ` + t.Name + `_value ORDER BY param, ` + strings.Join(t.Columns, ", ")
		}, yield)
	if err != nil {
		return err
	}
	if err := i.Texts(ctx, yield); err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		db   *sql.DB
	}{{directoryFile, i.directory}, {jobsFile, i.jobs}} {
		err := i.foreignKeys(ctx, file.name, file.db, yield)
		if err == nil && deep {
			err = i.pages(ctx, file.name, file.db, yield)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pages lets SQLite look at every page of a database and at both directions of
// its indexes.
func (i *Inspection) pages(ctx context.Context, name string, db *sql.DB, yield func(store.Complaint) error) error {
	err := inspectsql.Each(ctx, db, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil || text == "ok" {
			return err
		}
		return yield(store.Complaint{Place: name, Text: text, Way: wayOfDamage})
	}, `PRAGMA integrity_check`)
	if err != nil {
		return fmt.Errorf("integrity check of %s: %w", name, explain(i.dir, err))
	}
	return nil
}

func (i *Inspection) foreignKeys(ctx context.Context, name string, db *sql.DB, yield func(store.Complaint) error) error {
	return inspectsql.Each(ctx, db, func(rows *sql.Rows) error {
		var table, parent string
		var row sql.NullInt64
		var number int
		if err := rows.Scan(&table, &row, &parent, &number); err != nil {
			return err
		}
		return yield(store.Complaint{
			Place: name + " table " + table, Text: fmt.Sprintf("row %d belongs to no row of table %s", row.Int64, parent), Way: wayOfDamage,
		})
	}, `PRAGMA foreign_key_check`)
}

// Served reports whether a server runs on the data directory now.
func (i *Inspection) Served(context.Context) (bool, error) {
	f, err := os.Open(filepath.Join(i.dir, serveFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	free, err := filelock.Try(f, filelock.Shared)
	return !free && err == nil, err
}
