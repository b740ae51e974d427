package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/jobsql"
	"muster/internal/store/searchsql"
)

// brief gives a search, or a reading for one, its deadline.
func (s *Store) brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.searchDeadline, store.ErrTooCostly)
}

// briefError names what failed. A statement that was interrupted gives its reason:
// the deadline of brief, or whatever ended the caller's context.
func (s *Store) briefError(ctx context.Context, err error, format string, args ...any) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf(format+": %w", append(args, explain(s.dir, err))...)
}

// rowColumns are the columns of a row as rowFields reads them.
const rowColumns = searchsql.RowColumns

func rowFields(r *store.Row) []any {
	return []any{&r.Key, &r.ID, &r.Version, &r.Committed, &r.LastUpdated, &r.Visibility, &r.Size}
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const (
	rowsOfKeys = `SELECT ` + rowColumns + ` FROM json_each(?1) AS j
		CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value`
	rowsOfIDs = `SELECT ` + rowColumns + ` FROM json_each(?2) AS j
		CROSS JOIN resource AS r INDEXED BY resource_id ON r.type = ?1 AND r.id = j.value`
)

// Rows implements store.Reader.
func (s *Store) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	rows, err := rowsOf(ctx, s.readers, rowsOfKeys, asJSON(keys))
	if err != nil {
		return nil, s.briefError(ctx, err, "read %d rows", len(keys))
	}
	return rows, nil
}

// Lookup implements store.Reader.
func (s *Store) Lookup(ctx context.Context, t fhir.Type, ids []string) ([]store.Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	rows, err := rowsOf(ctx, s.readers, rowsOfIDs, t, asJSON(ids))
	if err != nil {
		return nil, s.briefError(ctx, err, "look up %d ids of %v", len(ids), t)
	}
	return rows, nil
}

// rowsOf runs a statement that selects rowColumns.
func rowsOf(ctx context.Context, q queryer, query string, args ...any) ([]store.Row, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return jobsql.Collect(rows, func(rows *sql.Rows) (r store.Row, err error) { return r, rows.Scan(rowFields(&r)...) })
}

const referencesOfRows = `SELECT x.row_key, n.text, x.id FROM json_each(?1) AS j
	CROSS JOIN ix_reference AS x INDEXED BY sqlite_autoindex_ix_reference_1 ON x.row_key = j.value AND x.param = ?2
	CROSS JOIN name AS n ON n.name_id = x.type`

// References implements store.Reader.
func (s *Store) References(ctx context.Context, keys []store.RowKey, param int) ([]store.Reference, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	references, err := s.references(ctx, keys, param)
	if err != nil {
		return nil, s.briefError(ctx, err, "read the references of %d rows", len(keys))
	}
	return references, nil
}

func (s *Store) references(ctx context.Context, keys []store.RowKey, param int) ([]store.Reference, error) {
	rows, err := s.readers.QueryContext(ctx, referencesOfRows, asJSON(keys), param)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var references []store.Reference
	for rows.Next() {
		var r store.Reference
		var typeName string
		if err := rows.Scan(&r.From, &typeName, &r.ID); err != nil {
			return nil, err
		}
		var ours bool
		if r.Type, ours = fhir.ParseType(typeName); ours {
			references = append(references, r)
		}
	}
	return references, rows.Err()
}

// referrersOfIDs reads of each id no more entries than are wanted at all: the inner
// selection ends its run of the index there, which is in the order of the row keys.
const referrersOfIDs = `SELECT ` + rowColumns + ` FROM resource AS r NOT INDEXED WHERE r.row_key IN (
		SELECT x.row_key FROM json_each(?1) AS j
		CROSS JOIN ix_reference AS x INDEXED BY ix_reference_value ON x.param = ?2 AND x.id = j.value
			AND x.type = (SELECT name_id FROM name WHERE text = ?3)
			AND x.row_key BETWEEN ?4 AND coalesce((
				SELECT y.row_key FROM ix_reference AS y INDEXED BY ix_reference_value
				WHERE y.param = ?2 AND y.id = j.value AND y.type = (SELECT name_id FROM name WHERE text = ?3) AND y.row_key >= ?4
				ORDER BY y.row_key LIMIT 1 OFFSET ?6 - 1), ?5)
	) ORDER BY r.row_key LIMIT ?6`

// Referrers implements store.Reader.
func (s *Store) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error) {
	if len(ids) == 0 || limit <= 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	first, last := store.KeyRange(t)
	rows, err := rowsOf(ctx, s.readers, referrersOfIDs, asJSON(ids), param, target.String(), first, last, limit)
	if err != nil {
		return nil, s.briefError(ctx, err, "find the %v resources that refer to %d of %v", t, len(ids), target)
	}
	return rows, nil
}

const bodiesOfKeys = `SELECT ` + rowColumns + `, d.body FROM json_each(?1) AS j
	CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value
	CROSS JOIN doc AS d ON d.row_key = r.row_key`

// Bodies implements store.Reader.
func (s *Store) Bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	if err := s.bodies(ctx, keys, yield); err != nil {
		return s.briefError(ctx, err, "read %d resources", len(keys))
	}
	return nil
}

func (s *Store) bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	rows, err := s.readers.QueryContext(ctx, bodiesOfKeys, asJSON(keys))
	if err != nil {
		return err
	}
	defer rows.Close()
	var row store.Row
	var body sql.RawBytes
	fields := append(rowFields(&row), &body)
	for rows.Next() {
		if err := rows.Scan(fields...); err != nil {
			return err
		}
		if err := yield(row, body); err != nil {
			return err
		}
	}
	return rows.Err()
}
