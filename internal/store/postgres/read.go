package postgres

import (
	"context"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/deadline"
)

// readAsOf returns for each key, in order, the line that was current at a time: the current
// one if it was committed at or before that time, else the one in history, else NULL. A
// statement sees one snapshot of the database, so it does not miss a version that moves to
// history in the meantime. Nested loops keep the order of the array.
const readAsOf = `SELECT k.key, coalesce(r.row_key, h.row_key), coalesce(r.id, h.id), coalesce(r.version, h.version),
		coalesce(r.committed, h.committed), coalesce(r.last_updated, h.last_updated), coalesce(r.visibility, h.visibility),
		coalesce(r.size, h.size), CASE WHEN r.row_key IS NULL THEN h.checksum ELSE r.checksum END, coalesce(d.body, h.body)
	FROM unnest($1::bigint[]) AS k (key)
	LEFT JOIN resource AS r ON r.row_key = k.key AND r.committed <= $2
	LEFT JOIN doc AS d ON d.row_key = r.row_key
	LEFT JOIN history AS h ON r.row_key IS NULL AND h.row_key = k.key AND h.committed <= $2 AND h.superseded > $2`

// ReadAsOf implements store.Directory. Each call is one short statement, so a long export
// does not delay VACUUM.
func (s *Store) ReadAsOf(ctx context.Context, keys []store.RowKey, t fhir.Instant, yield func(store.RowKey, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	n := 0
	err := eachRaw(ctx, s.exports, readAsOf, func(values [][]byte) error {
		key := keys[n]
		if got := decodeBigint(values[0]); got != int64(key) {
			return fmt.Errorf("row %d has key %d, not %d: the database does not keep the order of its nested loops", n, got, key)
		}
		n++
		if values[len(values)-1] == nil {
			return store.DamagedRow(key, "has no version of that time any more: "+
				"the job that needs it must be live, and its selection must be from this directory")
		}
		_, line, err := verified(values[1:])
		if err != nil {
			return err
		}
		return yield(key, line)
	}, int64s(keys), int64(t))
	if err != nil {
		return fmt.Errorf("read resources as of %v: %w", t, explain(err))
	}
	return nil
}

// eachRaw runs a query and calls row with the values of each row in binary format, which are
// valid during the call only. It returns the first error of row, or the reason why ctx has ended.
func eachRaw(ctx context.Context, q querier, query string, row func(values [][]byte) error, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return deadline.Reason(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.RawValues()); err != nil {
			return err
		}
	}
	return deadline.Reason(ctx, rows.Err())
}

// decodeBigint decodes a bigint in binary format: eight bytes, big-endian.
func decodeBigint(raw []byte) (n int64) {
	for _, b := range raw {
		n = n<<8 | int64(b)
	}
	return n
}

// currentPage is how many rows EachCurrent reads in one statement.
const currentPage = 500

const nextCurrent = `SELECT ` + versionColumns + `, d.row_key, r.own_visibility, r.inherited_visibility
	FROM doc AS d LEFT JOIN resource AS r ON r.row_key = d.row_key
	WHERE d.row_key BETWEEN $1 AND $2 ORDER BY d.row_key LIMIT $3`

// EachCurrent implements store.Directory. Each page is a statement of its own, so a slow
// caller does not delay VACUUM for long.
func (s *Store) EachCurrent(ctx context.Context, t fhir.Type, yield func(store.Held) error) error {
	next, last := store.KeyRange(t)
	for {
		n := 0
		err := eachRaw(ctx, s.exports, nextCurrent, func(values [][]byte) error {
			n++
			key := store.RowKey(decodeBigint(values[versionValues]))
			next = key + 1
			if values[0] == nil {
				return store.DamagedRow(key, "has a text, but no row")
			}
			_, line, err := verified(values)
			if err != nil {
				return err
			}
			return yield(store.Held{
				Own: index.Visibility(decodeBigint(values[versionValues+1])), Inherited: index.Visibility(decodeBigint(values[versionValues+2])), Line: line,
			})
		}, int64(next), int64(last), currentPage)
		if err != nil {
			return fmt.Errorf("read the current %v resources: %w", t, explain(err))
		}
		if n < currentPage {
			return nil
		}
	}
}

// presentIDs looks up each id (OFFSET 0): while there are no statistics of a table that is being
// filled, PostgreSQL would compare each with all rows of the type.
const presentIDs = `SELECT r.id FROM unnest($2::text[]) AS k (id)
	CROSS JOIN LATERAL (SELECT r.id FROM resource AS r WHERE r.type = $1 AND r.id = k.id OFFSET 0) AS r`

// Present implements store.Directory.
func (s *Store) Present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error) {
	if ids == nil {
		ids = []string{}
	}
	present := make(map[string]bool, len(ids))
	err := eachRaw(ctx, s.exports, presentIDs,
		func(values [][]byte) error {
			present[string(values[0])] = true
			return nil
		}, int64(t), ids)
	if err != nil {
		return nil, fmt.Errorf("look up %d ids of %v: %w", len(ids), t, explain(err))
	}
	return present, nil
}

// Counts implements store.Directory. It reads the row of every resource.
func (s *Store) Counts(ctx context.Context) (map[fhir.Type]store.Count, error) {
	counts := map[fhir.Type]store.Count{}
	for _, t := range fhir.Types() {
		first, last := store.KeyRange(t)
		var c store.Count
		err := s.exports.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE visibility = 0) FROM resource
			WHERE row_key BETWEEN $1 AND $2`, int64(first), int64(last)).Scan(&c.All, &c.Visible)
		if err != nil {
			return nil, fmt.Errorf("count resources: %w", explain(deadline.Reason(ctx, err)))
		}
		if c.All > 0 {
			counts[t] = c
		}
	}
	return counts, nil
}

// Ping checks that the database answers. It serves readiness checks.
func (s *Store) Ping(ctx context.Context) error {
	var last int64
	if err := s.reads.QueryRow(ctx, `SELECT last FROM clock`).Scan(&last); err != nil {
		return fmt.Errorf("read the clock: %w", explain(err))
	}
	_, err := s.LiveTimes(ctx)
	return err
}
