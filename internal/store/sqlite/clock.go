package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"muster/internal/fhir"
)

// draw gives out the next moment: the time of the machine, or one millisecond
// after the last moment given out if that is later. So moments only grow, also
// when the machine's clock steps back, and no two are equal. The caller is in a
// write transaction inside the gate.
func draw(ctx context.Context, tx *sql.Tx, now func() time.Time) (fhir.Instant, error) {
	var m fhir.Instant
	err := tx.QueryRowContext(ctx, `UPDATE clock SET last = max(last + 1, ?) RETURNING last`, fhir.InstantOf(now())).Scan(&m)
	if err != nil {
		return 0, fmt.Errorf("draw a commit time: %w", err)
	}
	return m, nil
}

// Now is the clock of the directory.
func (s *Store) Now() time.Time { return s.now() }
