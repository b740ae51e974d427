package sqlite

import (
	"context"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
)

// versionsPerVacuum is how many old versions are looked at in one stay inside
// the gate.
const versionsPerVacuum = 500

// Vacuum implements store.Directory.
func (s *Store) Vacuum(ctx context.Context) (int64, error) {
	var dropped, after int64
	for {
		n, last, err := s.vacuumSome(ctx, after)
		dropped += n
		if err != nil {
			return dropped, fmt.Errorf("drop old versions: %w", explain(s.dir, err))
		}
		if last == 0 {
			return dropped, nil
		}
		after = last
	}
}

// vacuumSome looks at the next versions after a row of history and drops those
// that no live job needs. last is the last row it looked at, 0 at the end.
func (s *Store) vacuumSome(ctx context.Context, after int64) (dropped, last int64, err error) {
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	live, err := s.LiveTimes(ctx)
	if err != nil {
		return 0, 0, err
	}
	tx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	err = tx.QueryRowContext(ctx, `SELECT coalesce(max(rowid), 0) FROM
		(SELECT rowid FROM history WHERE rowid > ?1 ORDER BY rowid LIMIT ?2)`, after, versionsPerVacuum).Scan(&last)
	if err != nil || last == 0 {
		return 0, 0, err
	}
	result, err := tx.ExecContext(ctx, `DELETE FROM history WHERE rowid > ?1 AND rowid <= ?2 AND NOT EXISTS
		(SELECT 1 FROM json_each(?3) AS live WHERE live.value >= history.committed AND live.value < history.superseded)`,
		after, last, asJSON(append([]fhir.Instant{}, live...)))
	if err != nil {
		return 0, 0, err
	}
	if dropped, err = result.RowsAffected(); err != nil {
		return 0, 0, err
	}
	if err := failpoint.Inject(ctx, "directory.vacuum.commit"); err != nil {
		return 0, 0, err
	}
	return dropped, last, tx.Commit()
}
