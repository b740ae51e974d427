package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/sqlrows"
)

// removalsPerSweep is how many removals one transaction forgets. Those that were committed
// together with the last of them are forgotten with it.
const removalsPerSweep = 500

// sweepable returns the condition for the tombstones t between two times that a sweep may delete.
func (s *Store) sweepable() string {
	const old = `t.committed > ?1 AND t.committed < ?2`
	if s.writer.rules == nil {
		return old
	}
	return old + ` AND NOT (` + cascadesql.Needed(s.writer.rules) + `)`
}

// SweepRemovals implements store.Directory.
func (s *Store) SweepRemovals(ctx context.Context, sweep store.Sweep) (int64, error) {
	if err := s.info.CheckWriter(s.writer.rules); err != nil {
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
			return swept, fmt.Errorf("forget old removals: %w", explain(s.dir, err))
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
	err = s.reads.QueryRowContext(ctx, `SELECT coalesce(max(committed), 0) FROM
		(SELECT t.committed FROM tombstone AS t WHERE `+s.sweepable()+` ORDER BY t.committed LIMIT ?3)`, after, sweep.Before, removalsPerSweep).Scan(&last)
	if err != nil || last == 0 {
		return 0, 0, err
	}
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	// A job that is created after this was read draws its time later, when it compares _since with
	// the horizon.
	live, err := s.Live(ctx)
	if err != nil {
		return 0, 0, err
	}
	tx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	end := min(sweep.End(live), last+1)
	if swept, err = s.forget(ctx, tx, after, end); err != nil {
		return 0, 0, err
	}
	if err := failpoint.Inject(ctx, "directory.sweep.commit"); err != nil {
		return 0, 0, err
	}
	return swept, last, tx.Commit()
}

// forget deletes the removals between two times that may be swept, and records what is left of them.
// The condition of what may be swept is evaluated once: what the removed users of an Endpoint refer
// to is part of it, and is deleted with them.
func (s *Store) forget(ctx context.Context, tx *sql.Tx, after, end fhir.Instant) (swept int64, err error) {
	type last struct {
		version   int64
		committed fhir.Instant
	}
	lasts := map[fhir.Type]last{}
	var keys []store.RowKey
	err = sqlrows.Query(ctx, tx, func(rows *sql.Rows) error {
		var (
			key store.RowKey
			t   fhir.Type
			of  last
		)
		if err := rows.Scan(&key, &t, &of.version, &of.committed); err != nil {
			return err
		}
		keys = append(keys, key)
		lasts[t] = last{max(lasts[t].version, of.version), max(lasts[t].committed, of.committed)}
		return nil
	}, `DELETE FROM tombstone AS t WHERE `+s.sweepable()+` RETURNING row_key, type, version, committed`, after, end)
	if err != nil {
		return 0, err
	}
	for t, of := range lasts {
		_, err := tx.ExecContext(ctx, `INSERT INTO swept (type, version, committed) VALUES (?1, ?2, ?3)
			ON CONFLICT (type) DO UPDATE SET version = max(version, excluded.version), committed = max(committed, excluded.committed)`,
			t, of.version, of.committed)
		if err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM removed_reference WHERE row_key IN (SELECT value FROM json_each(?1))`, asJSON(keys))
	return int64(len(keys)), err
}

// Horizon implements store.Directory.
func (s *Store) Horizon(ctx context.Context) (h store.Horizon, err error) {
	err = s.reads.QueryRowContext(ctx, `SELECT coalesce(max(committed), 0) FROM swept`).Scan(&h.Swept)
	if err == nil {
		err = sqlrows.Query(ctx, s.reads, func(rows *sql.Rows) error {
			var r store.Restored
			err := rows.Scan(&r.Taken, &r.Used)
			h.Restored = append(h.Restored, r)
			return err
		}, `SELECT taken, coalesce(used, 0) FROM restored ORDER BY taken`)
	}
	if err != nil {
		return store.Horizon{}, fmt.Errorf("read the horizon of the directory: %w", explain(s.dir, err))
	}
	return h, nil
}
