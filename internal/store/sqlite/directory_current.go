package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// currentPage is how many rows one read transaction of EachCurrent takes.
const currentPage = 500

const nextCurrent = `SELECT row_key, body FROM doc WHERE row_key BETWEEN ?1 AND ?2 ORDER BY row_key LIMIT ?3`

// EachCurrent implements store.Directory. Each page is a read transaction of its
// own, so a slow reader holds back no checkpoint for long.
func (s *Store) EachCurrent(ctx context.Context, t fhir.Type, yield func([]byte) error) error {
	next, last := store.KeyRange(t)
	for {
		n, seen, err := s.currentPage(ctx, next, last, yield)
		if err != nil {
			return fmt.Errorf("read the current %v resources: %w", t, explain(s.dir, err))
		}
		if n < currentPage {
			return nil
		}
		next = seen + 1
	}
}

// currentPage yields the first rows of a range and returns how many there were
// and the key of the last.
func (s *Store) currentPage(ctx context.Context, first, last store.RowKey, yield func([]byte) error) (n int, seen store.RowKey, err error) {
	rows, err := s.readers.QueryContext(ctx, nextCurrent, first, last, currentPage)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var body sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&seen, &body); err != nil {
			return n, seen, err
		}
		n++
		if err := yield(body); err != nil {
			return n, seen, err
		}
	}
	return n, seen, rows.Err()
}

const presentIDs = `SELECT r.id FROM json_each(?2) AS j CROSS JOIN resource AS r INDEXED BY resource_id
	ON r.type = ?1 AND r.id = j.value`

// Present implements store.Directory.
func (s *Store) Present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error) {
	present, err := s.present(ctx, t, ids)
	if err != nil {
		return nil, fmt.Errorf("look up %d ids of %v: %w", len(ids), t, explain(s.dir, err))
	}
	return present, nil
}

func (s *Store) present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error) {
	rows, err := s.readers.QueryContext(ctx, presentIDs, t, asJSON(ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	present := make(map[string]bool, len(ids))
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		present[id] = true
	}
	return present, rows.Err()
}
