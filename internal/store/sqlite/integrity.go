package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"muster/internal/store"
	"muster/internal/store/batch"
)

const wayOfDamage = "stop the server, keep a copy of the folder, and restore a backup or load the data into a new directory"

// Integrity implements store.Inspector. Without deep it holds the number and the
// sum of what each index table gives row-first against what it gives value-first;
// deep is SQLite's own check of every page, which reads everything and takes as
// long.
func (i *Inspection) Integrity(ctx context.Context, deep bool, yield func(store.Complaint) error) error {
	for _, table := range batch.Tables {
		if err := i.bothWays(ctx, table, yield); err != nil {
			return fmt.Errorf("compare the two directions of %s: %w", table.Name, err)
		}
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
	err := each(ctx, db, func(rows *sql.Rows) error {
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
	return each(ctx, db, func(rows *sql.Rows) error {
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

// bothWays compares an index table with its value index, in one read transaction.
func (i *Inspection) bothWays(ctx context.Context, table *batch.Table, yield func(store.Complaint) error) error {
	columns := "row_key, param, " + strings.Join(table.Columns, ", ")
	return i.read(ctx, func(tx *sql.Tx) error {
		seed := maphash.MakeSeed()
		// The order makes SQLite take the table itself: left alone it reads the value
		// index here too.
		rowFirst, err := sumRows(ctx, tx, table, seed, `SELECT `+columns+` FROM `+table.Name+` NOT INDEXED ORDER BY row_key`)
		if err != nil {
			return err
		}
		valueFirst, err := sumRows(ctx, tx, table, seed, `SELECT `+columns+` FROM `+table.Name+` INDEXED BY `+table.Name+`_value
			ORDER BY param, `+strings.Join(table.Columns, ", "))
		if err != nil || rowFirst == valueFirst {
			return err
		}
		return yield(store.Complaint{
			Place: "index table " + table.Name,
			Text: fmt.Sprintf("its two directions differ: %d entries by row, %d by value, so searches find other resources than there are",
				rowFirst.n, valueFirst.n),
			Way: wayOfDamage,
		})
	})
}

// sum is the number of some rows and the sum of their hashes, whatever their order.
type sum struct {
	n    int64
	hash uint64
}

func sumRows(ctx context.Context, tx *sql.Tx, t *batch.Table, seed maphash.Seed, query string) (s sum, err error) {
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var r batch.Row
		if err := rows.Scan(t.Fields(&r)...); err != nil {
			return err
		}
		s.n++
		s.hash += maphash.Comparable(seed, r)
		return nil
	}, query)
	return s, err
}

// Served reports whether a server runs on the data directory now.
func Served(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, serveFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = lock(f, syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// writable reports whether files can be made in a folder.
func writable(dir string) bool {
	const wOK = 2 // access(2), W_OK
	return syscall.Access(dir, wOK) == nil
}
