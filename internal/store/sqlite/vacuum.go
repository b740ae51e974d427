package sqlite

import (
	"context"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
)

// versionsPerVacuum is how many old versions one transaction examines.
const versionsPerVacuum = 500

// Vacuum implements store.Directory.
func (s *Store) Vacuum(ctx context.Context) (int64, error) {
	var deleted, after int64
	for {
		n, last, err := s.vacuumPage(ctx, after)
		deleted += n
		if err != nil {
			return deleted, fmt.Errorf("delete old versions: %w", explain(s.dir, err))
		}
		if last == 0 {
			return deleted, nil
		}
		after = last
	}
}

// vacuumPage examines the versions that follow a row of history, and deletes those that no
// live job needs. It returns the last row that it examined, 0 at the end of the table.
func (s *Store) vacuumPage(ctx context.Context, after int64) (deleted, last int64, err error) {
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer release()
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
	if deleted, err = result.RowsAffected(); err != nil {
		return 0, 0, err
	}
	if err := failpoint.Inject(ctx, "directory.vacuum.commit"); err != nil {
		return 0, 0, err
	}
	return deleted, last, tx.Commit()
}
