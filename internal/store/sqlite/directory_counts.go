package sqlite

import (
	"context"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// Counts implements store.Directory. It reads every narrow row, type by type:
// a grouping statement would gather them all in memory.
func (s *Store) Counts(ctx context.Context) (map[fhir.Type]store.Count, error) {
	counts := map[fhir.Type]store.Count{}
	for _, t := range fhir.Types() {
		first, last := store.KeyRange(t)
		var c store.Count
		err := s.readers.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(visibility = 0), 0) FROM resource NOT INDEXED
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

// Ping reports whether both databases answer, for a readiness check.
func (s *Store) Ping(ctx context.Context) error {
	var last fhir.Instant
	if err := s.readers.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&last); err != nil {
		return fmt.Errorf("read the clock: %w", explain(s.dir, err))
	}
	_, err := s.LiveTimes(ctx)
	return err
}
