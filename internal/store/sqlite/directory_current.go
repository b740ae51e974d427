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
