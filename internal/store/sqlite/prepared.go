package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"muster/internal/store/writepath"
)

// statements are the prepared statements of the writer. CROSS JOIN and INDEXED
// BY fix the order of work.
type statements struct {
	findCurrent  *sql.Stmt
	findBuried   *sql.Stmt
	keepVersions *sql.Stmt
	bury         *sql.Stmt
	removeRows   []*sql.Stmt
	nextKeys     *sql.Stmt
	name         *sql.Stmt
	resource     insert
	doc          insert
	entries      map[*writepath.Table]entryStatements
	texts        textStatements
	nextDocs     *sql.Stmt
	currentDocs  *sql.Stmt
}

type entryStatements struct {
	insert insert
	clear  *sql.Stmt
	ofRows *sql.Stmt
	remove *sql.Stmt
}

// insert is one insertion twice: for one row and for a block of rows, since a
// call for each row would cost more than the insertion itself.
type insert struct {
	one, block *sql.Stmt
	width      int // columns
}

const rowsPerBlock = 64

func (w *writer) prepare(ctx context.Context) error {
	p := preparer{ctx: ctx, db: w.db}
	w.text = statements{
		findCurrent: p.stmt(`SELECT j.key, r.row_key, r.version, r.source_hash
			FROM json_each(?2) AS j CROSS JOIN resource AS r INDEXED BY resource_id ON r.type = ?1 AND r.id = j.value`),
		findBuried: p.stmt(`SELECT j.key, max(t.version)
			FROM json_each(?2) AS j CROSS JOIN tombstone AS t ON t.type = ?1 AND t.id = j.value GROUP BY j.key`),
		keepVersions: p.stmt(`INSERT INTO history (row_key, version, committed, superseded, visibility, size, body)
			SELECT r.row_key, r.version, r.committed, ?1, r.visibility, r.size, d.body
			FROM json_each(?2) AS j CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value
			CROSS JOIN doc AS d ON d.row_key = r.row_key WHERE r.committed <= ?3`),
		bury: p.stmt(`INSERT INTO tombstone (type, id, version, row_key, committed)
			SELECT r.type, r.id, r.version + 1, r.row_key, ?1
			FROM json_each(?2) AS j CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value`),
		nextKeys: p.stmt(`UPDATE sequence SET last = last + ?1 WHERE type = ?2 RETURNING last`),
		name: p.stmt(`INSERT INTO name (text) VALUES (?1)
			ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING name_id`),
		resource: p.insert(`INSERT INTO resource
			(row_key, type, id, version, committed, last_updated, visibility, own_visibility, size, source_hash)`, 10,
			`ON CONFLICT (row_key) DO UPDATE SET version = excluded.version, committed = excluded.committed,
			last_updated = excluded.last_updated, visibility = excluded.own_visibility | inherited_visibility,
			own_visibility = excluded.own_visibility, size = excluded.size, source_hash = excluded.source_hash`),
		doc:     p.insert(`REPLACE INTO doc (row_key, body)`, 2, ``),
		entries: map[*writepath.Table]entryStatements{},
		currentDocs: p.stmt(`SELECT r.row_key, r.visibility, d.body FROM json_each(?1) AS j
			CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value CROSS JOIN doc AS d ON d.row_key = r.row_key`),
		nextDocs: p.stmt(`SELECT row_key, body FROM doc WHERE row_key >= ?1 ORDER BY row_key LIMIT ?2`),
	}
	for _, name := range []string{"resource", "doc"} {
		w.text.removeRows = append(w.text.removeRows, p.removeRows(name))
	}
	for _, t := range writepath.Tables {
		columns := "row_key, param, " + strings.Join(t.Columns, ", ")
		clear := p.removeRows(t.Name)
		w.text.removeRows = append(w.text.removeRows, clear)
		w.text.entries[t] = entryStatements{
			clear:  clear,
			insert: p.insert(`INSERT INTO `+t.Name+` (`+columns+`)`, 2+len(t.Columns), ``),
			ofRows: p.stmt(`SELECT i.row_key, i.param, i.` + strings.Join(t.Columns, ", i.") +
				` FROM json_each(?1) AS j CROSS JOIN ` + t.Name + ` AS i ON i.row_key = j.value`),
			remove: p.stmt(`DELETE FROM ` + t.Name + ` WHERE (` + columns + `) = ` + marks(1, 2+len(t.Columns))),
		}
	}
	w.text.texts = p.texts()
	return p.err
}

// preparer prepares statements and keeps the first error.
type preparer struct {
	ctx context.Context
	db  *sql.DB
	err error
}

func (p *preparer) stmt(text string) *sql.Stmt {
	if p.err != nil {
		return nil
	}
	s, err := p.db.PrepareContext(p.ctx, text)
	if err != nil {
		p.err = fmt.Errorf("prepare %q: %w", text, err)
	}
	return s
}

func (p *preparer) insert(into string, width int, suffix string) insert {
	return insert{
		one:   p.stmt(into + ` VALUES ` + marks(1, width) + ` ` + suffix),
		block: p.stmt(into + ` VALUES ` + marks(rowsPerBlock, width) + ` ` + suffix),
		width: width,
	}
}

func (p *preparer) removeRows(table string) *sql.Stmt {
	return p.stmt(`DELETE FROM ` + table + ` WHERE row_key IN (SELECT value FROM json_each(?1))`)
}

// marks writes "(?, ?), (?, ?)".
func marks(rows, width int) string {
	one := "(?" + strings.Repeat(", ?", width-1) + ")"
	return one + strings.Repeat(", "+one, rows-1)
}

// rows collects rows for an insert and writes them by blocks.
type rows struct {
	ctx  context.Context
	b    *stay
	into insert
	args []any
	err  error
}

func (b *stay) rows(ctx context.Context, into insert) *rows {
	return &rows{ctx: ctx, b: b, into: into, args: make([]any, 0, rowsPerBlock*into.width)}
}

// add takes one row; an error is kept for flush.
func (r *rows) add(values ...any) {
	r.args = append(r.args, values...)
	r.added()
}

// added writes the block if it is full.
func (r *rows) added() {
	if len(r.args) < rowsPerBlock*r.into.width {
		return
	}
	if r.err == nil {
		r.err = r.b.exec(r.ctx, r.into.block, r.args...)
	}
	r.args = r.args[:0]
}

// flush writes the rows that are left.
func (r *rows) flush() error {
	for i := 0; i < len(r.args) && r.err == nil; i += r.into.width {
		r.err = r.b.exec(r.ctx, r.into.one, r.args[i:i+r.into.width]...)
	}
	r.args = r.args[:0]
	return r.err
}
