package postgres

import (
	"context"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// versionsPerVacuum is how many old versions one statement examines.
const versionsPerVacuum = 500

// deletePage examines the versions that follow a row of history, and deletes those that no
// live job needs. It returns the last row that it examined.
//
// It does not pass the gate, unlike SQLite's. The statement sees jobs and versions in one
// snapshot of the database. A version that a job needs was written to history after the job
// was pinned, so a snapshot with the version also has the job.
const deletePage = `WITH page AS MATERIALIZED (
		SELECT row_key, version, committed, superseded FROM history
		WHERE (row_key, version) > ($1, $2) ORDER BY row_key, version LIMIT $3
	), deleted AS (
		DELETE FROM history AS h USING page WHERE (h.row_key, h.version) = (page.row_key, page.version) AND NOT EXISTS (
			SELECT 1 FROM job WHERE job.state IN ($4, $5) AND job.time >= page.committed AND job.time < page.superseded)
		RETURNING 1
	) SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM page),
		coalesce((SELECT row_key FROM page ORDER BY row_key DESC, version DESC LIMIT 1), 0),
		coalesce((SELECT version FROM page ORDER BY row_key DESC, version DESC LIMIT 1), 0)`

// Vacuum implements store.Directory.
func (s *Store) Vacuum(ctx context.Context) (int64, error) {
	var deleted, key, version int64
	for {
		n, examined, err := s.vacuumPage(ctx, &key, &version)
		if err != nil {
			return deleted, fmt.Errorf("delete old versions: %w", explain(err))
		}
		deleted += n
		if examined < versionsPerVacuum {
			return deleted, nil
		}
	}
}

// vacuumPage runs the statement in a transaction of its own, and advances key and version to
// the last row that it examined.
func (s *Store) vacuumPage(ctx context.Context, key, version *int64) (deleted, examined int64, err error) {
	tx, err := s.jobs.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	err = tx.QueryRowContext(ctx, deletePage, *key, *version, versionsPerVacuum, store.Selecting, store.Writing).
		Scan(&deleted, &examined, key, version)
	if err != nil {
		return 0, 0, err
	}
	if err := failpoint.Inject(ctx, "directory.vacuum.commit"); err != nil {
		return 0, 0, err
	}
	return deleted, examined, tx.Commit()
}
