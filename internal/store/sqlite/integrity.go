package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"muster/internal/store"
	"muster/internal/store/sqlite/pagesum"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"

	lib "modernc.org/sqlite/lib"
)

const repairDamage = "stop the server, keep a copy of the folder, and restore a backup or load the data into a new directory"

// Integrity implements store.Inspector. For each index table it compares the number and the
// hash sum of the rows of the table with those of its value index. If deep is set, SQLite first
// checks every page, which reads everything and takes long: what follows may end at a damaged one.
func (i *Inspection) Integrity(ctx context.Context, deep bool, yield func(store.IntegrityProblem) error) error {
	if err := i.checkFiles(ctx, deep, yield); err != nil {
		return err
	}
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
	return i.CheckCounts(ctx, yield)
}

// checkFiles checks each database apart from the meaning of its tables.
func (i *Inspection) checkFiles(ctx context.Context, deep bool, yield func(store.IntegrityProblem) error) error {
	for _, file := range []struct {
		name string
		db   *sql.DB
	}{{directoryFile, i.directory}, {jobsFile, i.jobs}} {
		if err := checkLog(i.dir, file.name, yield); err != nil {
			return err
		}
		off, err := withoutPageSums(ctx, file.db)
		if err == nil && off {
			err = yield(store.IntegrityProblem{Skipped: true, Place: file.name, Problem: fmt.Sprintf(noPageSums, file.name), Remedy: addPageSums})
		}
		if err == nil && deep {
			err = i.checkPages(ctx, file.name, file.db, yield)
		}
		if err == nil {
			err = i.checkForeignKeys(ctx, file.name, file.db, yield)
		}
		if err != nil {
			return explain(i.dir, err)
		}
	}
	return nil
}

// checkLog yields the first damaged frame of the log of a database. SQLite reads a frame when a page
// of it is needed, and all of them when it recovers a log.
func checkLog(dir, name string, yield func(store.IntegrityProblem) error) error {
	p, damaged := pagesum.CheckLog(filepath.Join(dir, name+"-wal"))
	if !damaged {
		return nil
	}
	return yield(store.IntegrityProblem{Place: name, Problem: nameFrame(p) + " is damaged: what was committed from there on is lost when the last program closes the database", Remedy: repairDamage})
}

// DamagedPages yields what is damaged in the files of the databases of a data directory that
// cannot be opened: the first frame of a log, and all pages that do not match their checksums.
func DamagedPages(dir string, yield func(store.IntegrityProblem) error) error {
	for _, name := range []string{directoryFile, jobsFile} {
		if err := checkLog(dir, name, yield); err != nil {
			return err
		}
		err := pagesum.CheckFile(filepath.Join(dir, name), func(number uint32) error {
			return yield(store.IntegrityProblem{Place: name, Problem: fmt.Sprintf("page %d does not match its checksum", number), Remedy: repairDamage})
		})
		if err != nil {
			return fmt.Errorf("read the pages of %s: %w", name, explain(dir, err))
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
	roots, err := readRoots(ctx, db)
	if err == nil {
		err = sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
			var text string
			if err := rows.Scan(&text); err != nil || text == "ok" {
				return err
			}
			return yield(store.IntegrityProblem{Place: name, Problem: nameTrees(text, roots), Remedy: repairDamage})
		}, `PRAGMA integrity_check`)
	}
	if err != nil {
		return fmt.Errorf("check the integrity of %s: %w", name, explain(i.dir, err))
	}
	return nil
}

// readRoots returns the tables and indexes by the root pages of their trees.
func readRoots(ctx context.Context, db *sql.DB) (map[string]string, error) {
	roots := map[string]string{}
	err := sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
		var page, kind, name string
		err := rows.Scan(&page, &kind, &name)
		roots[page] = kind + " " + name
		return err
	}, `SELECT rootpage, type, name FROM sqlite_schema WHERE rootpage > 0`)
	return roots, err
}

var treePage = regexp.MustCompile(`Tree (\d+) page (\d+)[^\n]*: unable to get the page\. error code=(\d+)`)

// nameTrees rewrites what SQLite says of pages that do not match their checksums.
func nameTrees(text string, roots map[string]string) string {
	return treePage.ReplaceAllStringFunc(text, func(line string) string {
		m := treePage.FindStringSubmatch(line)
		name, known := roots[m[1]]
		if !known || m[3] != strconv.Itoa(lib.SQLITE_IOERR_DATA) {
			return line
		}
		return fmt.Sprintf("page %s of %s does not match its checksum", m[2], name)
	})
}
