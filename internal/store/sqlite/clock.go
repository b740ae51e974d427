package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"muster/internal/fhir"
)

// drawTime advances table clock and returns its time: the time of the machine, or one
// millisecond after the previous time of the table if that is later. So the times strictly
// increase, also when the machine's clock is set back. The first time after a restore is
// recorded. The transaction is inside the gate.
func drawTime(ctx context.Context, tx *sql.Tx, now func() time.Time) (fhir.Instant, error) {
	var at fhir.Instant
	err := tx.QueryRowContext(ctx, `UPDATE clock SET last = max(last + 1, ?) RETURNING last`, fhir.InstantOf(now())).Scan(&at)
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE restored SET used = ? WHERE used IS NULL`, at)
	}
	if err != nil {
		return 0, fmt.Errorf("draw a commit time: %w", err)
	}
	return at, nil
}

// Now returns the time of the directory's clock.
func (s *Store) Now() time.Time { return s.now() }

// LastTime returns the last time that table clock has issued.
func (s *Store) LastTime(ctx context.Context) (last fhir.Instant, err error) {
	if err := s.reads.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&last); err != nil {
		return 0, fmt.Errorf("read the clock of the directory: %w", explain(s.dir, err))
	}
	return last, nil
}
