package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"

	"muster/internal/damage"
	"muster/internal/store/sqlite/pagesum"
)

// hasPageSums selects whether the pages of a database have checksums, from its header.
const hasPageSums = `SELECT substr(data, 21, 1) = x'08' FROM sqlite_dbpage WHERE pgno = 1`

// What a database without page checksums does not detect, and the remedy.
const (
	noPageSums = "the pages of %s have no checksums, since an older muster created it: a damaged page of an index can " +
		"make the results of searches and of exports with filters incomplete without an error"
	addPageSums = "run muster reindex, which adds them"
)

// withoutPageSums reports whether the pages of a database have no checksums.
func withoutPageSums(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (bool, error) {
	var sums bool
	err := db.QueryRowContext(ctx, hasPageSums).Scan(&sums)
	return !sums, err
}

// checkTrusted returns an error if pages that need not match their checksums are not consistent.
// The texts of resources have checksums of their own.
func (s *Store) checkTrusted(ctx context.Context) error {
	if !s.trust {
		return nil
	}
	for _, file := range []struct {
		name string
		db   *sql.DB
	}{{directoryFile, s.writer.db}, {jobsFile, s.jobsDB.writer}} {
		var problem string
		if err := file.db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&problem); err != nil {
			return err
		}
		if problem != "ok" {
			return damage.New(damage.Database, "the pages of %s in %s are damaged and cannot be trusted: restore a backup, or load the data into a new directory", file.name, s.dir)
		}
	}
	return nil
}

// rewrite rewrites a database without its free space. Its pages have checksums then.
func rewrite(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		handle, err := handleOf(c)
		if err != nil {
			return err
		}
		return pagesum.Reserve(handle)
	})
	if err != nil {
		return err
	}
	for _, statement := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// handleOf returns the sqlite3 pointer of a connection, which the driver does not export.
func handleOf(c any) (uintptr, error) {
	handle := reflect.Indirect(reflect.ValueOf(c)).FieldByName("db")
	if handle.Kind() != reflect.Uintptr {
		return 0, fmt.Errorf("the driver %T has no handle of a database: use the version of modernc.org/sqlite in go.mod", c)
	}
	return uintptr(handle.Uint()), nil
}
