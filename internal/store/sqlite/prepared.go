package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/writepath"
)

// writer is the one connection that writes, with its prepared statements. Only the holder
// of the gate and of Store.mu uses it.
type writer struct {
	db        *sql.DB
	now       func() time.Time
	liveTimes func(context.Context) ([]fhir.Instant, error)
	stmts     statements
	nameIDs   map[string]int64 // rows of table name that are known to be committed
	info      *store.Identity  // of the store
	chunks    writepath.ChunkSizer
	grams     []gram // a buffer that is reused: it is the longest list of a chunk

	rules store.Rules // nil for a directory without cascades
	few   int         // dependants that a chunk may write
}

// acquireWriter acquires the gate and then the writer. The caller calls release.
func (s *Store) acquireWriter(ctx context.Context) (release func(), err error) {
	leave, err := s.gate.acquire(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	return func() { s.mu.Unlock(); leave() }, nil
}

// statements are the prepared statements of the writer. CROSS JOIN and INDEXED BY fix the
// order of the joins.
type statements struct {
	findCurrent      *sql.Stmt
	findTombstones   *sql.Stmt
	keepVersions     *sql.Stmt
	insertTombstones *sql.Stmt
	deleteRows       []*sql.Stmt
	nextKeys         *sql.Stmt
	name             *sql.Stmt
	resource         insert
	doc              insert
	ownForm          insert
	entries          map[*writepath.Table]entryStatements
	texts            textStatements
	nextDocs         *sql.Stmt
	currentDocs      *sql.Stmt
	count            *sql.Stmt
	change           insert
	seal             *sql.Stmt
}

type entryStatements struct {
	insert    insert
	restore   insert // of rows that may be there if the index is damaged
	deleteAll *sql.Stmt
	ofRows    *sql.Stmt
	delete    *sql.Stmt
}

// insert holds an INSERT for one row and the same for a block of rows: a call for each row
// would cost more than the insertion itself.
type insert struct {
	one, block *sql.Stmt
	width      int // columns
}

const rowsPerBlock = 64

func (w *writer) prepare(ctx context.Context) error {
	p := preparer{db: w.db}
	stmt := func(text string) *sql.Stmt { return p.stmt(ctx, text) }
	insert := func(into string, width int, suffix string) insert { return p.insert(ctx, into, width, suffix) }
	deleteRows := func(table string) *sql.Stmt {
		return stmt(`DELETE FROM ` + table + ` WHERE row_key IN (SELECT value FROM json_each(?1))`)
	}
	w.stmts = statements{
		findCurrent: stmt(`SELECT j.key, r.row_key, r.version, r.committed, r.source_hash, r.visibility & 3, r.own_visibility, r.inherited_visibility
			FROM json_each(?2) AS j CROSS JOIN resource AS r INDEXED BY resource_id ON r.type = ?1 AND r.id = j.value`),
		findTombstones: stmt(`SELECT key, version FROM (SELECT j.key, max(
				coalesce((SELECT max(t.version) FROM tombstone AS t WHERE t.type = ?1 AND t.id = j.value), 0),
				coalesce((SELECT s.version FROM swept AS s WHERE s.type = ?1), 0)) AS version
			FROM json_each(?2) AS j) WHERE version > 0`),
		keepVersions: stmt(`INSERT INTO history (row_key, version, committed, superseded, visibility, size, body, id, last_updated, checksum)
			SELECT r.row_key, r.version, r.committed, ?1, r.visibility & 3, r.size, d.body, r.id, r.last_updated, r.checksum
			FROM json_each(?2) AS j CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value
			CROSS JOIN doc AS d ON d.row_key = r.row_key WHERE r.committed <= ?3`),
		insertTombstones: stmt(`INSERT INTO tombstone (type, id, version, row_key, committed, own_visibility)
			SELECT r.type, r.id, r.version + 1, r.row_key, ?1, r.own_visibility
			FROM json_each(?2) AS j CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value`),
		nextKeys: stmt(`UPDATE sequence SET last = last + ?1 WHERE type = ?2 RETURNING last`),
		name: stmt(`INSERT INTO name (text) VALUES (?1)
			ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING name_id`),
		resource: insert(`INSERT INTO resource
			(row_key, type, id, version, committed, last_updated, visibility, own_visibility, inherited_visibility, size, source_hash, checksum)`, 12,
			`ON CONFLICT (row_key) DO UPDATE SET version = excluded.version, committed = excluded.committed,
			last_updated = excluded.last_updated, visibility = excluded.visibility,
			own_visibility = excluded.own_visibility, inherited_visibility = excluded.inherited_visibility, size = excluded.size, source_hash = excluded.source_hash,
			checksum = excluded.checksum`),
		doc:     insert(`REPLACE INTO doc (row_key, body)`, 2, ``),
		entries: map[*writepath.Table]entryStatements{},
		ownForm: insert(`REPLACE INTO own_form (row_key, tail, checksum)`, 3, ``),
		currentDocs: stmt(`SELECT ` + versionColumns + `, f.tail, f.checksum FROM json_each(?1) AS j
			CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value CROSS JOIN doc AS d ON d.row_key = r.row_key
			LEFT JOIN own_form AS f ON f.row_key = r.row_key`),
		nextDocs: stmt(`SELECT ` + versionColumns + `, d.row_key, f.tail, f.checksum, r.inherited_visibility FROM doc AS d
			LEFT JOIN resource AS r ON r.row_key = d.row_key LEFT JOIN own_form AS f ON f.row_key = d.row_key
			WHERE d.row_key >= ?1 ORDER BY d.row_key LIMIT ?2`),
		count: stmt(`INSERT INTO resource_count (type, visibility, number) VALUES (?1, ?2, ?3)
			ON CONFLICT (type, visibility) DO UPDATE SET number = number + excluded.number`),
		change: insert(`INSERT INTO change (committed, row_key, what)`, 3,
			`ON CONFLICT (committed, row_key) DO UPDATE SET what = what | excluded.what`),
		seal: stmt(`UPDATE resource SET checksum = ?2 WHERE row_key = ?1`),
	}
	for _, name := range []string{"resource", "doc", "own_form"} {
		w.stmts.deleteRows = append(w.stmts.deleteRows, deleteRows(name))
	}
	for _, t := range writepath.Tables {
		columns := "row_key, param, " + strings.Join(t.Columns, ", ")
		deleteAll := deleteRows(t.Name)
		w.stmts.deleteRows = append(w.stmts.deleteRows, deleteAll)
		w.stmts.entries[t] = entryStatements{
			deleteAll: deleteAll,
			insert:    insert(`INSERT INTO `+t.Name+` (`+columns+`)`, 2+len(t.Columns), ``),
			restore:   insert(`INSERT INTO `+t.Name+` (`+columns+`)`, 2+len(t.Columns), `ON CONFLICT DO NOTHING`),
			ofRows: stmt(`SELECT i.row_key, i.param, i.` + strings.Join(t.Columns, ", i.") +
				` FROM json_each(?1) AS j CROSS JOIN ` + t.Name + ` AS i ON i.row_key = j.value`),
			delete: stmt(`DELETE FROM ` + t.Name + ` WHERE row_key IN (SELECT value FROM json_each(?1)) AND (param, ` + strings.Join(t.Columns, ", ") + `) = ` +
				placeholders(1, 1+len(t.Columns))),
		}
	}
	w.stmts.texts = p.texts(ctx)
	return p.err
}

// preparer prepares statements. It keeps the first error.
type preparer struct {
	db  *sql.DB
	err error
}

func (p *preparer) stmt(ctx context.Context, text string) *sql.Stmt {
	if p.err != nil {
		return nil
	}
	s, err := p.db.PrepareContext(ctx, text)
	if err != nil {
		p.err = fmt.Errorf("prepare %q: %w", text, err)
	}
	return s
}

func (p *preparer) insert(ctx context.Context, into string, width int, suffix string) insert {
	return insert{
		one:   p.stmt(ctx, into+` VALUES `+placeholders(1, width)+` `+suffix),
		block: p.stmt(ctx, into+` VALUES `+placeholders(rowsPerBlock, width)+` `+suffix),
		width: width,
	}
}

// placeholders returns "(?, ?), (?, ?)".
func placeholders(rows, width int) string {
	one := "(?" + strings.Repeat(", ?", width-1) + ")"
	return one + strings.Repeat(", "+one, rows-1)
}

// inserter inserts rows in blocks.
type inserter struct {
	tx   *writeTx
	into insert
	args []any
}

func (tx *writeTx) newInserter(into insert) *inserter {
	return &inserter{tx: tx, into: into, args: make([]any, 0, rowsPerBlock*into.width)}
}

// add adds a row.
func (in *inserter) add(ctx context.Context, values ...any) error {
	in.args = append(in.args, values...)
	return in.added(ctx)
}

// added inserts the block if it is full.
func (in *inserter) added(ctx context.Context) error {
	if len(in.args) < rowsPerBlock*in.into.width {
		return nil
	}
	err := in.tx.exec(ctx, in.into.block, in.args...)
	in.args = in.args[:0]
	return err
}

// flush inserts the remaining rows.
func (in *inserter) flush(ctx context.Context) error {
	for i := 0; i < len(in.args); i += in.into.width {
		if err := in.tx.exec(ctx, in.into.one, in.args[i:i+in.into.width]...); err != nil {
			return err
		}
	}
	in.args = in.args[:0]
	return nil
}
