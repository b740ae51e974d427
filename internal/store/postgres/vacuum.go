package postgres

import (
	"context"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// versionsPerVacuum is how many old versions are looked at in one statement.
const versionsPerVacuum = 500

// vacuumSome drops what no live job needs of the next versions after a place in
// history, and returns the last place that it looked at.
//
// It passes no gate, unlike SQLite's: the statement sees jobs and versions at one
// moment, and a version that a job needs came into history after the job was
// pinned, so who sees the version sees the job.
const vacuumSome = `WITH page AS MATERIALIZED (
		SELECT row_key, version, committed, superseded FROM history
		WHERE (row_key, version) > ($1, $2) ORDER BY row_key, version LIMIT $3
	), dropped AS (
		DELETE FROM history AS h USING page WHERE (h.row_key, h.version) = (page.row_key, page.version) AND NOT EXISTS (
			SELECT 1 FROM job WHERE job.state IN ($4, $5) AND job.time >= page.committed AND job.time < page.superseded)
		RETURNING 1
	) SELECT (SELECT count(*) FROM dropped), (SELECT count(*) FROM page),
		coalesce((SELECT row_key FROM page ORDER BY row_key DESC, version DESC LIMIT 1), 0),
		coalesce((SELECT version FROM page ORDER BY row_key DESC, version DESC LIMIT 1), 0)`

// Vacuum implements store.Directory.
func (s *Store) Vacuum(ctx context.Context) (int64, error) {
	var dropped, key, version int64
	for {
		some, seen, err := s.vacuumSome(ctx, &key, &version)
		if err != nil {
			return dropped, fmt.Errorf("drop old versions: %w", explain(err))
		}
		dropped += some
		if seen < versionsPerVacuum {
			return dropped, nil
		}
	}
}

// vacuumSome runs the statement in a transaction of its own and moves the place.
func (s *Store) vacuumSome(ctx context.Context, key, version *int64) (dropped, seen int64, err error) {
	tx, err := s.jobs.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	err = tx.QueryRowContext(ctx, vacuumSome, *key, *version, versionsPerVacuum, store.Selecting, store.Writing).
		Scan(&dropped, &seen, key, version)
	if err != nil {
		return 0, 0, err
	}
	if err := failpoint.Inject(ctx, "directory.vacuum.commit"); err != nil {
		return 0, 0, err
	}
	return dropped, seen, tx.Commit()
}
