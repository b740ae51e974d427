package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/batch"
	"muster/internal/store/jobsql"
)

// Inspection is a data directory that was opened to be looked at: nothing is
// made, migrated, locked or written, so it may be served meanwhile. It implements
// store.Inspector.
type Inspection struct {
	dir       string
	info      store.CreateInfo
	directory *sql.DB
	jobs      *sql.DB
	records   *jobsql.Jobs
	names     map[int64]string
}

var _ store.Inspector = (*Inspection)(nil)

// Inspect opens the data directory. Its schema must be that of this program, and
// the fields of expect that are not empty must be the directory's.
func Inspect(ctx context.Context, dir string, expect store.CreateInfo) (*Inspection, error) {
	i := &Inspection{dir: dir, names: map[int64]string{}}
	err := i.open(ctx)
	if err == nil {
		err = i.info.Check(expect)
	}
	if err != nil {
		return nil, fmt.Errorf("look at data directory %s: %w", dir, errors.Join(explain(dir, err), i.Close()))
	}
	return i, nil
}

func (i *Inspection) open(ctx context.Context) error {
	for _, file := range []struct {
		name    string
		db      **sql.DB
		version func(context.Context, *sql.DB) (current, target int64, err error)
	}{{directoryFile, &i.directory, directoryVersions}, {jobsFile, &i.jobs, jobVersions}} {
		path := filepath.Join(i.dir, file.name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("there is no %s in it: name a directory that 'muster load' has filled, or restore a backup", file.name)
		}
		db, err := sql.Open("sqlite", readOnlySource(path))
		if err != nil {
			return err
		}
		*file.db = db
		db.SetMaxOpenConns(1)
		current, target, err := file.version(ctx, db)
		if err != nil {
			return err
		}
		if current != target {
			return fmt.Errorf("the tables of %s have version %d, and this program knows version %d: "+
				"use the muster that wrote it, or let 'muster load' or 'muster serve' of this one bring it up to date", file.name, current, target)
		}
	}
	i.records = jobsql.New(i.jobs, jobsql.Dialect{})
	var known bool
	var err error
	if i.info, known, err = readMeta(ctx, i.directory); err == nil && !known {
		err = errors.New("its making was interrupted: run 'muster load' on it")
	}
	return err
}

// readOnlySource names a database that is only read. One that nobody has open and
// that lies where nothing can be written, such as a backup, has no log to look at.
func readOnlySource(path string) string {
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)", "cache_size(-65536)", "query_only(1)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) && !writable(filepath.Dir(path)) {
		q.Set("immutable", "1")
	}
	return fileURL(path, q)
}

// Info returns what the directory was made as.
func (i *Inspection) Info() store.CreateInfo { return i.info }

// Close closes the databases.
func (i *Inspection) Close() error {
	var errs []error
	for _, db := range []*sql.DB{i.directory, i.jobs} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// read runs f in one read transaction on directory.db.
func (i *Inspection) read(ctx context.Context, f func(tx *sql.Tx) error) error {
	return i.readIn(ctx, i.directory, f)
}

func (i *Inspection) readIn(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return explain(i.dir, err)
	}
	defer func() { _ = tx.Rollback() }()
	return explain(i.dir, f(tx))
}

// Keeps implements store.Inspector.
func (i *Inspection) Keeps(kind index.Kind) bool {
	return slices.ContainsFunc(batch.Tables, func(t *batch.Table) bool { return t.Kind == kind })
}

// Excerpt implements store.Inspector.
func (i *Inspection) Excerpt(ctx context.Context, first, last store.RowKey, limit int) (e store.Excerpt, err error) {
	err = i.read(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&e.Clock); err != nil {
			return fmt.Errorf("the clock cannot be read: %w", err)
		}
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(last), 0) FROM sequence WHERE type = ?`, first.Type()).Scan(&e.Sequence); err != nil {
			return err
		}
		// A run ends at the limit of rows or of documents, whichever comes first:
		// where one of them is missing, the other still bounds it.
		if err := tx.QueryRowContext(ctx, `SELECT min(
			coalesce((SELECT row_key FROM resource NOT INDEXED WHERE row_key BETWEEN ?1 AND ?2 ORDER BY row_key LIMIT 1 OFFSET ?3), ?2),
			coalesce((SELECT row_key FROM doc WHERE row_key BETWEEN ?1 AND ?2 ORDER BY row_key LIMIT 1 OFFSET ?3), ?2))`,
			first, last, limit-1).Scan(&e.Through); err != nil {
			return err
		}
		c := store.Specimens{}
		if err := i.collect(ctx, tx, c, first, e.Through); err != nil {
			return err
		}
		e.Found = c.InOrder()
		return nil
	})
	if err != nil {
		return e, fmt.Errorf("read the row keys from %d on: %w", first, err)
	}
	return e, nil
}

func (i *Inspection) collect(ctx context.Context, tx *sql.Tx, c store.Specimens, first, last store.RowKey) error {
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var r store.SpecimenRow
		if err := rows.Scan(&r.Key, &r.Type, &r.ID, &r.Version, &r.Committed, &r.LastUpdated, &r.Visibility, &r.Own, &r.Inherited, &r.Size); err != nil {
			return err
		}
		c.At(r.Key).Row = &r
		return nil
	}, `SELECT row_key, type, id, version, committed, last_updated, visibility, own_visibility, inherited_visibility, size
		FROM resource NOT INDEXED WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, first, last)
	if err != nil {
		return err
	}
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var key store.RowKey
		body := []byte{} // an empty one is not a missing one
		if err := rows.Scan(&key, &body); err != nil {
			return err
		}
		c.At(key).Body = body
		return nil
	}, `SELECT row_key, body FROM doc WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, first, last)
	if err != nil {
		return err
	}
	for _, table := range batch.Tables {
		if err := i.entries(ctx, tx, c, table, first, last); err != nil {
			return err
		}
	}
	return nil
}

// entries reads a table row-first.
func (i *Inspection) entries(ctx context.Context, tx *sql.Tx, c store.Specimens, table *batch.Table, first, last store.RowKey) error {
	var found []batch.Row
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var r batch.Row
		if err := rows.Scan(table.Fields(&r)...); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, `SELECT row_key, param, `+strings.Join(table.Columns, ", ")+` FROM `+table.Name+` WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, first, last)
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
	err := tx.QueryRowContext(ctx, `SELECT text FROM name WHERE name_id = ?`, id).Scan(&text)
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
	err = i.read(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(rows *sql.Rows) error {
			var v store.OldVersion
			if err := rows.Scan(&v.Key, &v.Version, &v.Committed, &v.Superseded, &v.Size, &v.Body, &v.Current); err != nil {
				return err
			}
			found = append(found, v)
			return nil
		}, `SELECT h.row_key, h.version, h.committed, h.superseded, h.size, h.body,
			coalesce((SELECT version FROM resource AS r NOT INDEXED WHERE r.row_key = h.row_key), 0)
			FROM history AS h INDEXED BY history_version WHERE (h.row_key, h.version) > (?, ?) ORDER BY h.row_key, h.version LIMIT ?`, after, version, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return found, nil
}

// Tombstones implements store.Inspector.
func (i *Inspection) Tombstones(ctx context.Context, after store.Tombstone, limit int) (found []store.Tombstone, err error) {
	err = i.read(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(rows *sql.Rows) error {
			var b store.Tombstone
			if err := rows.Scan(&b.Type, &b.ID, &b.Version, &b.Key, &b.Committed, &b.Current, &b.KeyLives); err != nil {
				return err
			}
			found = append(found, b)
			return nil
		}, `SELECT t.type, t.id, t.version, t.row_key, t.committed,
			coalesce((SELECT version FROM resource AS r INDEXED BY resource_id WHERE r.type = t.type AND r.id = t.id), 0),
			EXISTS (SELECT 1 FROM resource AS k NOT INDEXED WHERE k.row_key = t.row_key)
			FROM tombstone AS t WHERE (t.type, t.id, t.version) > (?, ?, ?) ORDER BY t.type, t.id, t.version LIMIT ?`,
			after.Type, after.ID, after.Version, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read tombstones: %w", err)
	}
	return found, nil
}

// Clock implements store.Inspector.
func (i *Inspection) Clock(ctx context.Context) (at fhir.Moment, err error) {
	if err := i.directory.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&at); err != nil {
		return 0, fmt.Errorf("read the clock: %w", explain(i.dir, err))
	}
	return at, nil
}

// EachJob implements store.Inspector.
func (i *Inspection) EachJob(ctx context.Context, yield func(store.JobRecord) error) error {
	return explain(i.dir, i.records.EachRecord(ctx, yield))
}

// JobRecord implements store.Inspector.
func (i *Inspection) JobRecord(ctx context.Context, id string) (store.JobRecord, error) {
	record, err := i.records.Record(ctx, id)
	return record, explain(i.dir, err)
}

// readable is ReadAsOf without the bytes.
const readable = `SELECT j.value, coalesce(
		(SELECT r.size FROM resource AS r NOT INDEXED WHERE r.row_key = j.value AND r.committed <= ?2),
		(SELECT h.size FROM history AS h INDEXED BY history_version WHERE h.row_key = j.value AND h.committed <= ?2 AND h.superseded > ?2),
		-1) FROM json_each(?1) AS j`

// Readable implements store.Inspector.
func (i *Inspection) Readable(ctx context.Context, keys []store.RowKey, t fhir.Moment) (bytes int64, missing []store.RowKey, err error) {
	err = i.read(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(rows *sql.Rows) error {
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
		}, readable, asJSON(keys), t)
	})
	if err != nil {
		return 0, nil, fmt.Errorf("look up the versions of %v: %w", t, err)
	}
	return bytes, missing, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each runs a query and hands out its rows.
func each(ctx context.Context, q querier, row func(*sql.Rows) error, query string, args ...any) error {
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
