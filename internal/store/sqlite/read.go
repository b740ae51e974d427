package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// ReadAsOf implements store.Directory. Each call is one short read transaction, so a long
// export does not delay checkpoints.
func (s *Store) ReadAsOf(ctx context.Context, keys []store.RowKey, t fhir.Instant, yield func(store.RowKey, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	tx, err := s.exports.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read resources: %w", explain(s.dir, err))
	}
	defer func() { _ = tx.Rollback() }()
	r := asOfReader{tx: tx, keys: keys, t: t, yield: yield}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("read resources as of %v: %w", t, explain(s.dir, err))
	}
	return nil
}

// asOfReader runs one call of ReadAsOf. keys are the keys that are not yielded yet.
type asOfReader struct {
	tx    *sql.Tx
	keys  []store.RowKey
	t     fhir.Instant
	yield func(store.RowKey, []byte) error
}

// currentDense and currentSparse read current versions in ascending order of row keys. If a
// row is missing, or was committed after the time that is read, asOfReader reads the version
// of that time from table history with versionAsOf.
const (
	currentDense = `SELECT ` + versionColumns + `
		FROM doc AS d CROSS JOIN resource AS r NOT INDEXED ON r.row_key = d.row_key
		WHERE d.row_key BETWEEN ?1 AND ?2 ORDER BY d.row_key`
	currentSparse = `SELECT ` + versionColumns + `
		FROM json_each(?1) AS j CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value
		CROSS JOIN doc AS d ON d.row_key = r.row_key`
	versionAsOf = `SELECT row_key, id, version, committed, last_updated, visibility, size, checksum, body FROM history INDEXED BY history_version
		WHERE row_key = ?1 AND committed <= ?2 AND superseded > ?2`
)

func (r *asOfReader) run(ctx context.Context) error {
	rows, err := r.queryCurrent(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	var v version
	for rows.Next() {
		if err := v.scan(rows); err != nil {
			return err
		}
		if err := r.yieldCurrent(ctx, &v); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for len(r.keys) > 0 {
		if err := r.yieldOld(ctx); err != nil {
			return err
		}
	}
	return nil
}

// queryCurrent runs the statement that suits the keys: one scan if the keys ascend and most
// rows of their range are wanted, else one look-up for each key.
func (r *asOfReader) queryCurrent(ctx context.Context) (*sql.Rows, error) {
	first, last := r.keys[0], r.keys[len(r.keys)-1]
	if int64(last-first) < 2*int64(len(r.keys)) && slices.IsSorted(r.keys) {
		return r.tx.QueryContext(ctx, currentDense, first, last)
	}
	return r.tx.QueryContext(ctx, currentSparse, asJSON(r.keys))
}

// yieldCurrent yields the old versions of the keys before a current row, and then the row
// itself if its key is wanted.
func (r *asOfReader) yieldCurrent(ctx context.Context, v *version) error {
	i := slices.Index(r.keys, v.row.Key)
	if i < 0 {
		return nil // a row of the dense range that is not wanted
	}
	for range i {
		if err := r.yieldOld(ctx); err != nil {
			return err
		}
	}
	if v.row.Committed > r.t {
		return r.yieldOld(ctx)
	}
	if err := v.verify(); err != nil {
		return err
	}
	r.keys = r.keys[1:]
	return r.yield(v.row.Key, v.body)
}

// yieldOld yields the version of the next key from history.
func (r *asOfReader) yieldOld(ctx context.Context) error {
	key := r.keys[0]
	r.keys = r.keys[1:]
	var v version
	found := 0
	err := sqlrows.Query(ctx, r.tx, func(rows *sql.Rows) error {
		if found++; found > 1 {
			return store.DamagedRow(key, "has two versions of one time")
		}
		if err := v.scan(rows); err != nil {
			return err
		}
		if err := v.verify(); err != nil {
			return err
		}
		return r.yield(key, v.body)
	}, versionAsOf, key, r.t)
	if err == nil && found == 0 {
		err = store.DamagedRow(key, "has no version of that time any more: "+
			"the job that needs it must be live, and its selection must be from this directory")
	}
	return err
}

// currentPage is how many rows EachCurrent reads in one transaction.
const currentPage = 500

const nextCurrent = `SELECT ` + versionColumns + `, d.row_key, coalesce(r.own_visibility, 0), coalesce(r.inherited_visibility, 0)
	FROM doc AS d LEFT JOIN resource AS r ON r.row_key = d.row_key
	WHERE d.row_key BETWEEN ?1 AND ?2 ORDER BY d.row_key LIMIT ?3`

// EachCurrent implements store.Directory. Each page is a read transaction of its own, so a
// slow caller does not delay checkpoints for long.
func (s *Store) EachCurrent(ctx context.Context, t fhir.Type, yield func(store.Held) error) error {
	next, last := store.KeyRange(t)
	var v version
	for {
		n := 0
		err := sqlrows.Query(ctx, s.exports, func(rows *sql.Rows) error {
			var key int64
			var held store.Held
			if err := v.scan(rows, &key, &held.Own, &held.Inherited); err != nil {
				return err
			}
			if v.row.Key == 0 {
				return store.DamagedRow(store.RowKey(key), "has a text, but no row")
			}
			if err := v.verify(); err != nil {
				return err
			}
			n++
			next, held.Line = v.row.Key+1, v.body
			return yield(held)
		}, nextCurrent, next, last, currentPage)
		if err != nil {
			return fmt.Errorf("read the current %v resources: %w", t, explain(s.dir, err))
		}
		if n < currentPage {
			return nil
		}
	}
}

const presentIDs = `SELECT r.id FROM json_each(?2) AS j CROSS JOIN resource AS r INDEXED BY resource_id
	ON r.type = ?1 AND r.id = j.value`

// Present implements store.Directory.
func (s *Store) Present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error) {
	present := make(map[string]bool, len(ids))
	err := sqlrows.Query(ctx, s.exports, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		present[id] = true
		return err
	}, presentIDs, t, asJSON(ids))
	if err != nil {
		return nil, fmt.Errorf("look up %d ids of %v: %w", len(ids), t, explain(s.dir, err))
	}
	return present, nil
}

// Counts implements store.Directory. It reads the row of every resource. Each type has a query
// of its own, because SQLite would collect the rows of one GROUP BY over all types in memory.
func (s *Store) Counts(ctx context.Context) (map[fhir.Type]store.Count, error) {
	counts := map[fhir.Type]store.Count{}
	for _, t := range fhir.Types() {
		first, last := store.KeyRange(t)
		var c store.Count
		err := s.exports.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(visibility = 0), 0) FROM resource NOT INDEXED
			WHERE row_key BETWEEN ? AND ?`, first, last).Scan(&c.All, &c.Visible)
		if err != nil {
			return nil, fmt.Errorf("count resources: %w", explain(s.dir, err))
		}
		if c.All > 0 {
			counts[t] = c
		}
	}
	return counts, nil
}

// Ping checks that both databases answer. It serves readiness checks.
func (s *Store) Ping(ctx context.Context) error {
	var last fhir.Instant
	if err := s.reads.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&last); err != nil {
		return fmt.Errorf("read the clock: %w", explain(s.dir, err))
	}
	_, err := s.LiveTimes(ctx)
	return err
}
