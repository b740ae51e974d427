package postgres

import (
	"context"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/jackc/pgx/v5"
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
	return fmt.Errorf(format+": %w", append(args, explain(err))...)
}

// Nested loops keep the order of the arrays.
const (
	rowsOfKeys = `SELECT ` + rowColumns + ` FROM unnest($1::bigint[]) AS k (key) JOIN resource AS r ON r.row_key = k.key`
	rowsOfIDs  = `SELECT ` + rowColumns + ` FROM unnest($2::text[]) AS k (id) JOIN resource AS r ON r.type = $1 AND r.id = k.id`

	referencesOfRows = `SELECT x.row_key, n.text, x.id FROM unnest($1::bigint[]) AS k (key)
		JOIN ix_reference AS x ON x.row_key = k.key AND x.param = $2 JOIN name AS n ON n.name_id = x.type`

	// Of each id no more entries are read than are wanted at all, from a run of the
	// index that is in the order of the row keys.
	referrersOfIDs = `SELECT ` + rowColumns + ` FROM (
			SELECT DISTINCT x.row_key FROM unnest($1::text[]) AS k (id)
			CROSS JOIN LATERAL (SELECT y.row_key FROM ix_reference AS y WHERE y.param = $2 AND y.id = k.id
				AND y.type = (SELECT name_id FROM name WHERE text = $3) AND y.row_key BETWEEN $4 AND $5
				ORDER BY y.row_key LIMIT $6) AS x
			ORDER BY x.row_key LIMIT $6
		) AS found JOIN resource AS r ON r.row_key = found.row_key ORDER BY r.row_key`

	bodiesOfKeys = `SELECT ` + rowColumns + `, d.body FROM unnest($1::bigint[]) AS k (key)
		JOIN resource AS r ON r.row_key = k.key JOIN doc AS d ON d.row_key = r.row_key`
)

// Rows implements store.Reader.
func (s *Store) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	rows, err := rowsOf(ctx, s.readers, rowsOfKeys, numbers(keys))
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
	rows, err := rowsOf(ctx, s.readers, rowsOfIDs, int64(t), ids)
	if err != nil {
		return nil, s.briefError(ctx, err, "look up %d ids of %v", len(ids), t)
	}
	return rows, nil
}

// rowsOf runs a statement that selects rowColumns.
func rowsOf(ctx context.Context, q queryer, query string, args ...any) ([]store.Row, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows([]store.Row(nil), rows, scanRow)
}

// References implements store.Reader.
func (s *Store) References(ctx context.Context, keys []store.RowKey, param int) ([]store.Reference, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	var references []store.Reference
	err := s.each(ctx, referencesOfRows, func(values [][]byte) error {
		if t, ours := fhir.ParseType(string(values[1])); ours {
			references = append(references, store.Reference{From: store.RowKey(number(values[0])), Type: t, ID: string(values[2])})
		}
		return nil
	}, numbers(keys), int64(param))
	if err != nil {
		return nil, s.briefError(ctx, err, "read the references of %d rows", len(keys))
	}
	return references, nil
}

// Referrers implements store.Reader.
func (s *Store) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error) {
	if len(ids) == 0 || limit <= 0 {
		return nil, nil
	}
	ctx, stop := s.brief(ctx)
	defer stop()
	first, last := store.KeyRange(t)
	rows, err := rowsOf(ctx, s.readers, referrersOfIDs, ids, int64(param), target.String(), int64(first), int64(last), limit)
	if err != nil {
		return nil, s.briefError(ctx, err, "find the %v resources that refer to %d of %v", t, len(ids), target)
	}
	return rows, nil
}

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
	rows, err := s.readers.Query(ctx, bodiesOfKeys, numbers(keys))
	if err != nil {
		return err
	}
	defer rows.Close()
	fields := append(rowFields(&store.Row{}), nil)
	for rows.Next() {
		var row store.Row
		copy(fields, rowFields(&row))
		if err := rows.Scan(fields...); err != nil {
			return err
		}
		values := rows.RawValues()
		if err := yield(row, values[len(values)-1]); err != nil {
			return err
		}
	}
	return rows.Err()
}
