package postgres

import (
	"context"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/cascadesql"

	"github.com/jackc/pgx/v5"
)

// removalsPerSweep is how many removals one transaction forgets. Those that were committed
// together with the last of them are forgotten with it.
const removalsPerSweep = 500

// sweepable returns the condition for the tombstones t between two times that a sweep may delete.
func (s *Store) sweepable() string {
	const old = `t.committed > $1 AND t.committed < $2`
	if s.rules == nil {
		return old
	}
	return old + ` AND NOT (` + cascadesql.Needed(s.rules) + `)`
}

// sweepStatement deletes the tombstones for which the condition %s holds, and records what is left
// of them.
const sweepStatement = `WITH gone AS (
		DELETE FROM tombstone AS t WHERE %s RETURNING t.type, t.version, t.row_key, t.committed
	), forgotten AS (
		DELETE FROM removed_reference WHERE row_key = ANY (ARRAY(SELECT row_key FROM gone))
	), recorded AS (
		INSERT INTO swept AS s (type, version, committed) SELECT type, max(version), max(committed) FROM gone GROUP BY type
		ON CONFLICT (type) DO UPDATE SET version = greatest(s.version, excluded.version), committed = greatest(s.committed, excluded.committed)
	) SELECT count(*) FROM gone`

// SweepRemovals implements store.Directory.
func (s *Store) SweepRemovals(ctx context.Context, sweep store.Sweep) (int64, error) {
	if err := s.info.CheckWriter(s.rules); err != nil {
		return 0, fmt.Errorf("forget old removals: %w", err)
	}
	live, err := s.Live(ctx)
	if err != nil {
		return 0, fmt.Errorf("forget old removals: %w", err)
	}
	sweep.Before = sweep.End(live) // a sweep that the jobs do not allow needs no gate
	var swept int64
	var after fhir.Instant
	for {
		n, last, err := s.sweepPage(ctx, sweep, after)
		swept += n
		if err != nil {
			return swept, fmt.Errorf("forget old removals: %w", explain(err))
		}
		if last == 0 {
			return swept, nil
		}
		after = last
	}
}

// sweepPage forgets the removals that follow a time. It returns the time of the last one, 0
// if there is none. It enters the gate only if there is one.
func (s *Store) sweepPage(ctx context.Context, sweep store.Sweep, after fhir.Instant) (swept int64, last fhir.Instant, err error) {
	err = s.reads.QueryRow(ctx, `SELECT coalesce(max(committed), 0) FROM
		(SELECT t.committed FROM tombstone AS t WHERE `+s.sweepable()+` ORDER BY t.committed LIMIT $3) AS page`,
		int64(after), int64(sweep.Before), removalsPerSweep).Scan((*int64)(&last))
	if err != nil || last == 0 {
		return 0, 0, err
	}
	gate, err := s.acquireGate(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer gate.release()
	// A job that is created after this was read draws its time later, when it compares _since with
	// the horizon.
	live, err := s.Live(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := gate.tx.QueryRowContext(ctx, fmt.Sprintf(sweepStatement, s.sweepable()), int64(after), int64(min(sweep.End(live), last+1))).Scan(&swept); err != nil {
		return 0, 0, err
	}
	if err := failpoint.Inject(ctx, "directory.sweep.commit"); err != nil {
		return 0, 0, err
	}
	return swept, last, gate.tx.Commit()
}

// Horizon implements store.Directory.
func (s *Store) Horizon(ctx context.Context) (h store.Horizon, err error) {
	rows, err := s.reads.Query(ctx, `SELECT (SELECT coalesce(max(committed), 0) FROM swept), taken, coalesce(used, 0) FROM restored ORDER BY taken`)
	if err == nil {
		var r store.Restored
		_, err = pgx.ForEachRow(rows, []any{(*int64)(&h.Swept), (*int64)(&r.Taken), (*int64)(&r.Used)}, func() error {
			if r.Taken > 0 { // else it is the row that shows that the table is not lost
				h.Restored = append(h.Restored, r)
			}
			return nil
		})
	}
	if err != nil {
		return store.Horizon{}, fmt.Errorf("read the horizon of the directory: %w", explain(err))
	}
	return h, nil
}
