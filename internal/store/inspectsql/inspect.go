// Package inspectsql shows what a SQL database keeps of a directory, as it lies there
// (store.Inspector). The statements are the same for every database; what differs is a
// [Dialect] of a few words. A driver opens the database for reading only and adds how
// the database checks itself.
package inspectsql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/jobsql"
	"muster/internal/store/placeholder"
	"muster/internal/store/writepath"
)

// Dialect is what differs between databases. The zero value is SQLite's.
type Dialect struct {
	// Numbered says that arguments are written $1, $2, … instead of ?.
	Numbered bool
	// Keys selects the numbers of a JSON array, which is the argument, as column value.
	JSONKeys string
	// OneMoment is the isolation of a transaction whose reads all see one moment.
	SnapshotIsolation sql.IsolationLevel
	// Explain puts the way out before errors that an operator can do something about.
	Explain func(error) error
}

// Inspection is a directory in a database. It implements all of store.Inspector but
// Integrity. Not safe for use by several goroutines.
type Inspection struct {
	db      *sql.DB
	jobs    *jobsql.Jobs
	dialect Dialect
	names   map[int64]string
}

// New looks at the resources in db and at the jobs.
func New(db *sql.DB, jobs *jobsql.Jobs, d Dialect) *Inspection {
	return &Inspection{db: db, jobs: jobs, dialect: d, names: map[int64]string{}}
}

// Read runs f in one transaction that only reads and sees one moment.
func (i *Inspection) Read(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := i.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: i.dialect.SnapshotIsolation})
	if err != nil {
		return i.dialect.Explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	return i.dialect.Explain(f(tx))
}

// Querier is a database, a connection or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Each runs a query and hands out its rows.
func Each(ctx context.Context, q Querier, row func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Objects returns the names of the files that belong to parts of jobs, in order.
func Objects(ctx context.Context, jobs Querier) (names []string, err error) {
	err = Each(ctx, jobs, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, `SELECT object FROM part WHERE object <> '' ORDER BY object`)
	return names, err
}

func (i *Inspection) each(ctx context.Context, tx *sql.Tx, row func(*sql.Rows) error, query string, args ...any) error {
	return Each(ctx, tx, row, i.text(query), args...)
}

func (i *Inspection) one(ctx context.Context, tx *sql.Tx, to any, query string, args ...any) error {
	return tx.QueryRowContext(ctx, i.text(query), args...).Scan(to)
}

func (i *Inspection) text(query string) string {
	if i.dialect.Numbered {
		return placeholder.Number(query)
	}
	return query
}

// Keeps implements store.Inspector.
func (i *Inspection) StoresKind(kind index.Kind) bool {
	return slices.ContainsFunc(writepath.Tables, func(t *writepath.Table) bool { return t.Kind == kind })
}

// Excerpt implements store.Inspector.
func (i *Inspection) Excerpt(ctx context.Context, first, last store.RowKey, limit int) (e store.Excerpt, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		if err := i.one(ctx, tx, &e.Clock, `SELECT last FROM clock`); err != nil {
			return fmt.Errorf("the clock cannot be read: %w", err)
		}
		if err := i.one(ctx, tx, &e.Sequence, `SELECT coalesce(max(last), 0) FROM sequence WHERE type = ?`, int64(first.Type())); err != nil {
			return err
		}
		// A run ends at the limit of rows or of documents, whichever comes first:
		// where one of them is missing, the other still bounds it.
		e.Through = last
		for _, table := range []string{"resource", "doc"} {
			var through store.RowKey
			err := i.one(ctx, tx, (*int64)(&through), `SELECT row_key FROM `+table+` WHERE row_key BETWEEN ? AND ? ORDER BY row_key LIMIT 1 OFFSET ?`,
				int64(first), int64(last), limit-1)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil {
				e.Through = min(e.Through, through)
			}
		}
		c := store.StoredRecords{}
		if err := i.collect(ctx, tx, c, first, e.Through); err != nil {
			return err
		}
		e.Records = c.Sorted()
		return nil
	})
	if err != nil {
		return e, fmt.Errorf("read the row keys from %d on: %w", first, err)
	}
	return e, nil
}

func (i *Inspection) collect(ctx context.Context, tx *sql.Tx, c store.StoredRecords, first, last store.RowKey) error {
	err := i.each(ctx, tx, func(rows *sql.Rows) error {
		var r store.StoredRow
		if err := rows.Scan(&r.Key, &r.Type, &r.ID, &r.Version, &r.Committed, &r.LastUpdated, &r.Visibility, &r.Own, &r.Inherited, &r.Size); err != nil {
			return err
		}
		c.At(r.Key).Row = &r
		return nil
	}, `SELECT row_key, type, id, version, committed, last_updated, visibility, own_visibility, inherited_visibility, size
		FROM resource WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var key store.RowKey
		body := []byte{} // an empty one is not a missing one
		if err := rows.Scan(&key, &body); err != nil {
			return err
		}
		c.At(key).Body = body
		return nil
	}, `SELECT row_key, body FROM doc WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	for _, table := range writepath.Tables {
		if err := i.entries(ctx, tx, c, table, first, last); err != nil {
			return err
		}
	}
	return nil
}

// entries reads a table row-first.
func (i *Inspection) entries(ctx context.Context, tx *sql.Tx, c store.StoredRecords, table *writepath.Table, first, last store.RowKey) error {
	var found []writepath.Row
	err := i.each(ctx, tx, func(rows *sql.Rows) error {
		var r writepath.Row
		if err := rows.Scan(table.Fields(&r)...); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, `SELECT row_key, param, `+strings.Join(table.Columns, ", ")+` FROM `+table.Name+` WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	for _, r := range found {
		name := ""
		if table.Named() {
			if name, err = i.name(ctx, tx, r.Number); err != nil {
				return err
			}
		}
		s := c.At(r.Key)
		s.Entries = append(s.Entries, table.Entry(r, name))
	}
	return nil
}

// name returns the text of a number in table name. Numbers are never given to
// another text.
func (i *Inspection) name(ctx context.Context, tx *sql.Tx, id int64) (string, error) {
	if text, ok := i.names[id]; ok {
		return text, nil
	}
	var text string
	err := i.one(ctx, tx, &text, `SELECT text FROM name WHERE name_id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Sprintf("(name %d, which is missing)", id), nil
	}
	if err == nil {
		i.names[id] = text
	}
	return text, err
}

// OldVersions implements store.Inspector.
func (i *Inspection) OldVersions(ctx context.Context, after store.RowKey, version int64, limit int) (found []store.OldVersion, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		return i.each(ctx, tx, func(rows *sql.Rows) error {
			var v store.OldVersion
			if err := rows.Scan(&v.Key, &v.Version, &v.Committed, &v.Superseded, &v.Size, &v.Body, &v.Current); err != nil {
				return err
			}
			found = append(found, v)
			return nil
		}, `SELECT h.row_key, h.version, h.committed, h.superseded, h.size, h.body,
			coalesce((SELECT version FROM resource AS r WHERE r.row_key = h.row_key), 0)
			FROM history AS h WHERE (h.row_key, h.version) > (?, ?) ORDER BY h.row_key, h.version LIMIT ?`, int64(after), version, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return found, nil
}

// Tombstones implements store.Inspector.
func (i *Inspection) Tombstones(ctx context.Context, after store.Tombstone, limit int) (found []store.Tombstone, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		return i.each(ctx, tx, func(rows *sql.Rows) error {
			var b store.Tombstone
			if err := rows.Scan(&b.Type, &b.ID, &b.Version, &b.Key, &b.Committed, &b.Current, &b.KeyInUse); err != nil {
				return err
			}
			found = append(found, b)
			return nil
		}, `SELECT t.type, t.id, t.version, t.row_key, t.committed,
			coalesce((SELECT version FROM resource AS r WHERE r.type = t.type AND r.id = t.id), 0),
			EXISTS (SELECT 1 FROM resource AS k WHERE k.row_key = t.row_key)
			FROM tombstone AS t WHERE (t.type, t.id, t.version) > (?, ?, ?) ORDER BY t.type, t.id, t.version LIMIT ?`,
			int64(after.Type), after.ID, after.Version, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read tombstones: %w", err)
	}
	return found, nil
}

// Clock implements store.Inspector.
func (i *Inspection) Clock(ctx context.Context) (at fhir.Instant, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error { return i.one(ctx, tx, &at, `SELECT last FROM clock`) })
	if err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return at, nil
}

// EachJob implements store.Inspector.
func (i *Inspection) EachJob(ctx context.Context, yield func(store.JobRecord) error) error {
	return i.dialect.Explain(i.jobs.EachRecord(ctx, yield))
}

// JobRecord implements store.Inspector.
func (i *Inspection) JobRecord(ctx context.Context, id string) (store.JobRecord, error) {
	record, err := i.jobs.Record(ctx, id)
	return record, i.dialect.Explain(err)
}

// readable is ReadAsOf without the bytes.
const readable = `WITH k AS (%s) SELECT k.value, coalesce(
		(SELECT r.size FROM resource AS r WHERE r.row_key = k.value AND r.committed <= ?),
		(SELECT h.size FROM history AS h WHERE h.row_key = k.value AND h.committed <= ? AND h.superseded > ?),
		-1) FROM k`

// Readable implements store.Inspector.
func (i *Inspection) Readable(ctx context.Context, keys []store.RowKey, t fhir.Instant) (bytes int64, missing []store.RowKey, err error) {
	if len(keys) == 0 {
		return 0, nil, nil
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return 0, nil, err
	}
	err = i.Read(ctx, func(tx *sql.Tx) error {
		return i.each(ctx, tx, func(rows *sql.Rows) error {
			var key store.RowKey
			var size int64
			if err := rows.Scan(&key, &size); err != nil {
				return err
			}
			if size < 0 {
				missing = append(missing, key)
				return nil
			}
			bytes += size
			return nil
		}, fmt.Sprintf(readable, i.dialect.JSONKeys), string(list), int64(t), int64(t), int64(t))
	})
	if err != nil {
		return 0, nil, fmt.Errorf("look up the versions of %v: %w", t, err)
	}
	return bytes, missing, nil
}

// BothWays yields a complaint for each index table whose rows are not those of its
// value index. rowFirst and valueFirst are what makes the database read the one and
// the other, behind the name of the table.
func (i *Inspection) CheckDirections(ctx context.Context, rowFirst, valueFirst func(*writepath.Table) string, yield func(store.IntegrityProblem) error) error {
	for _, table := range writepath.Tables {
		err := i.Read(ctx, func(tx *sql.Tx) error {
			seed := maphash.MakeSeed()
			byRow, err := i.sumRows(ctx, tx, table, seed, rowFirst(table))
			if err != nil {
				return err
			}
			byValue, err := i.sumRows(ctx, tx, table, seed, valueFirst(table))
			if err != nil || byRow == byValue {
				return err
			}
			return yield(store.IntegrityProblem{
				Place: "index table " + table.Name,
				Problem: fmt.Sprintf("its two directions differ: %d entries by row, %d by value, so searches find other resources than there are",
					byRow.n, byValue.n),
				Remedy: "run muster reindex",
			})
		})
		if err != nil {
			return fmt.Errorf("compare the two directions of %s: %w", table.Name, err)
		}
	}
	return nil
}

// checksum is the number of some rows and the sum of their hashes, whatever their order.
type checksum struct {
	n    int64
	hash uint64
}

func (s *checksum) add(hash uint64) {
	s.n++
	s.hash += hash
}

func (i *Inspection) sumRows(ctx context.Context, tx *sql.Tx, t *writepath.Table, seed maphash.Seed, way string) (s checksum, err error) {
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var r writepath.Row
		if err := rows.Scan(t.Fields(&r)...); err != nil {
			return err
		}
		s.add(maphash.Comparable(seed, r))
		return nil
	}, `SELECT row_key, param, `+strings.Join(t.Columns, ", ")+` FROM `+t.Name+` `+way)
	return s, err
}

// Texts yields a complaint when the texts of strings, or their pieces, are not those
// of the string entries.
func (i *Inspection) CheckTexts(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	complain := func(table, format string, args ...any) error {
		return yield(store.IntegrityProblem{Place: "index table " + table, Problem: fmt.Sprintf(format, args...) + ", so searches with :contains find other resources than there are", Remedy: "run muster reindex"})
	}
	return i.Read(ctx, func(tx *sql.Tx) error {
		var missing, stray int64
		if err := i.one(ctx, tx, &missing, `SELECT count(*) FROM (SELECT DISTINCT s.param, s.norm FROM ix_string AS s) AS d
			WHERE NOT EXISTS (SELECT 1 FROM ix_text AS t WHERE t.param = d.param AND t.norm = d.norm)`); err != nil {
			return err
		}
		if err := i.one(ctx, tx, &stray, `SELECT count(*) FROM ix_text AS t
			WHERE NOT EXISTS (SELECT 1 FROM ix_string AS s WHERE s.param = t.param AND s.norm = t.norm)`); err != nil {
			return err
		}
		if missing > 0 || stray > 0 {
			if err := complain("ix_text", "%d texts of strings are missing and %d are of no string", missing, stray); err != nil {
				return err
			}
		}
		want, found, err := i.grams(ctx, tx)
		if err != nil || want == found {
			return err
		}
		return complain("ix_gram", "it has %d pieces of texts, and the texts have %d, or others", found.n, want.n)
	})
}

type gram struct {
	param int64
	text  string
	id    int64
}

// grams sums the pieces that texts have and those that are stored.
func (i *Inspection) grams(ctx context.Context, tx *sql.Tx) (want, found checksum, err error) {
	seed := maphash.MakeSeed()
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var t gram
		if err := rows.Scan(&t.param, &t.text, &t.id); err != nil {
			return err
		}
		for _, piece := range index.Grams(t.text) {
			want.add(maphash.Comparable(seed, gram{t.param, piece, t.id}))
		}
		return nil
	}, `SELECT param, norm, text_id FROM ix_text`)
	if err != nil {
		return want, found, err
	}
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var g gram
		err := rows.Scan(&g.param, &g.text, &g.id)
		found.add(maphash.Comparable(seed, g))
		return err
	}, `SELECT param, gram, text_id FROM ix_gram`)
	return want, found, err
}
