package main

import (
	"database/sql"
	"fmt"
	"strings"
)

// resourceDDL is the same in all layouts: narrow rows apart from bodies.
var resourceDDL = []string{
	`CREATE TABLE resource(row_key INTEGER PRIMARY KEY, id TEXT NOT NULL, version INTEGER NOT NULL, committed INTEGER NOT NULL, state INTEGER NOT NULL)`,
	`CREATE TABLE doc(row_key INTEGER PRIMARY KEY, body BLOB NOT NULL)`,
}

const resourceIndex = "CREATE UNIQUE INDEX resource_id ON resource(id)"

func execAll(db *sql.DB, statements ...string) error {
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func writeResources(tx *sql.Tx, batch []row) error {
	resources, docs := newInserter(tx, "INSERT INTO resource", 5), newInserter(tx, "INSERT INTO doc", 2)
	for _, w := range batch {
		resources.add(w.key, w.id, 1, 1_760_000_000_000, 0)
		docs.add(w.key, w.body)
	}
	if err := resources.flush(); err != nil {
		return err
	}
	return docs.flush()
}

func updateResource(tx *sql.Tx, w row) error {
	if _, err := tx.Exec("UPDATE resource SET version=version+1, committed=committed+1 WHERE row_key=?", w.key); err != nil {
		return err
	}
	_, err := tx.Exec("UPDATE doc SET body=? WHERE row_key=?", w.body, w.key)
	return err
}

// inserter writes many rows with one statement: a call per row would cost more than the insertion itself.
type inserter struct {
	tx     *sql.Tx
	into   string
	suffix string
	width  int
	args   []any
	full   *sql.Stmt
	err    error
}

const rowsPerInsert = 100

func newInserter(tx *sql.Tx, into string, width int) *inserter {
	return &inserter{tx: tx, into: into, width: width, args: make([]any, 0, rowsPerInsert*width)}
}

// add queues one row; a failure is kept for flush.
func (in *inserter) add(values ...any) {
	if in.args = append(in.args, values...); len(in.args) < rowsPerInsert*in.width || in.err != nil {
		return
	}
	if in.full == nil {
		if in.full, in.err = in.tx.Prepare(in.text(rowsPerInsert)); in.err != nil {
			return
		}
	}
	_, in.err = in.full.Exec(in.args...)
	in.args = in.args[:0]
}

func (in *inserter) text(rows int) string {
	return in.into + " VALUES" + marks(rows, in.width) + in.suffix
}

func (in *inserter) flush() error {
	if in.full != nil {
		defer in.full.Close()
	}
	if in.err == nil && len(in.args) > 0 {
		_, in.err = in.tx.Exec(in.text(len(in.args)/in.width), in.args...)
	}
	return in.err
}

// marks gives "(?,?),(?,?)".
func marks(rows, width int) string {
	one := "(?" + strings.Repeat(",?", width-1) + ")"
	return one + strings.Repeat(","+one, rows-1)
}
