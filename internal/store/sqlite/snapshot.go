package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/deadline"
	"muster/internal/store/searchsql"
	"muster/internal/store/sqlrows"
)

// snapshot is a read transaction on its own connection.
type snapshot struct {
	conn *sql.Conn
	tx   *sql.Tx
	time fhir.Instant
	dir  string

	recount *store.Recount
}

// OpenSnapshot implements store.Directory.
func (s *Store) OpenSnapshot(ctx context.Context, pin func(context.Context, fhir.Instant) error) (store.Snapshot, error) {
	snap, err := s.openSnapshot(ctx, pin)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", explain(s.dir, err))
	}
	return snap, nil
}

func (s *Store) openSnapshot(ctx context.Context, pin func(context.Context, fhir.Instant) error) (_ *snapshot, err error) {
	// Get the connection before the gate, so that the gate is not held while waiting for one.
	snap := &snapshot{dir: s.dir, recount: &s.recount}
	if snap.conn, err = s.exports.Conn(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, snap.Close())
		}
	}()
	// The snapshot outlives ctx. BEGIN does not fix what the transaction sees; its first
	// read does.
	if snap.tx, err = snap.conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true}); err != nil {
		return nil, err
	}
	release, err := s.acquireSettled(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if snap.time, err = s.drawTransactionTime(ctx); err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.snapshot.drawn"); err != nil {
		return nil, err
	}
	if err := pin(ctx, snap.time); err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.snapshot.pinned"); err != nil {
		return nil, err
	}
	var last fhir.Instant
	if err := snap.tx.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&last); err != nil {
		return nil, err
	}
	if last != snap.time {
		return nil, fmt.Errorf("the clock changed from %d to %d inside the gate: another program writes to %s. Stop it and try again", snap.time, last, directoryFile)
	}
	return snap, nil
}

// acquireSettled acquires the gate while no cascade is unfinished. It writes slices until then, and
// keeps the turnstile: no writer can begin another cascade before the caller.
func (s *Store) acquireSettled(ctx context.Context) (release func(), err error) {
	release, leaveTurnstile, err := s.gate.acquireBoth(ctx)
	if err != nil {
		return nil, err
	}
	defer leaveTurnstile()
	for {
		s.mu.Lock()
		open, err := s.writeSlice(ctx)
		s.mu.Unlock()
		if err == nil && !open {
			return release, nil
		}
		release()
		if err != nil {
			return nil, err
		}
		// Passing again shows those that wait that this process makes progress.
		if release, err = s.gate.pass(ctx); err != nil {
			return nil, err
		}
	}
}

// drawTransactionTime draws a time in a transaction of its own.
func (s *Store) drawTransactionTime(ctx context.Context) (fhir.Instant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	t, err := drawTime(ctx, tx, s.now)
	if err != nil {
		return 0, err
	}
	return t, tx.Commit()
}

// Time implements store.Snapshot.
func (s *snapshot) Time() fhir.Instant { return s.time }

// CheckCounts implements store.Snapshot.
func (s *snapshot) CheckCounts(ctx context.Context, p plan.Plan) error {
	return explain(s.dir, deadline.Reason(ctx, s.recount.Check(ctx, p, s.countRows, s.keptCounts)))
}

// Select implements store.Snapshot.
func (s *snapshot) Select(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	return explain(s.dir, deadline.Reason(ctx, s.selectRows(ctx, p, yield)))
}

func (s *snapshot) selectRows(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	statement, err := searchsql.Selection(ctx, searchsql.SQLite, p, counting(s.tx))
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	rows, err := s.tx.QueryContext(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	defer rows.Close()
	found := int64(0)
	for rows.Next() {
		var key store.RowKey
		var size int64
		if err := rows.Scan(&key, &size); err != nil {
			return fmt.Errorf("select %v: %w", p.Type, err)
		}
		found++
		if err := yield(key, size); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	return s.checkSelected(ctx, p, found)
}

// Removals implements store.Snapshot.
func (s *snapshot) Removals(ctx context.Context, t fhir.Type, since fhir.Instant, yield func(store.Removal) error) error {
	rows, err := s.tx.QueryContext(ctx, `SELECT t.id, t.row_key, coalesce(r.row_key, 0) FROM tombstone AS t LEFT JOIN resource AS r ON r.type = t.type AND r.id = t.id
		WHERE t.type = ? AND t.committed > ? ORDER BY t.id, t.version`, t, since)
	if err == nil {
		err = sqlrows.Each(rows, func(rows *sql.Rows) error {
			var r store.Removal
			if err := rows.Scan(&r.ID, &r.Key, &r.Again); err != nil {
				return err
			}
			return yield(r)
		})
	}
	if err != nil {
		return fmt.Errorf("list the removals of %v: %w", t, explain(s.dir, deadline.Reason(ctx, err)))
	}
	return nil
}

// Rows implements store.Snapshot.
func (s *snapshot) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	rows, err := rowsOf(ctx, s.tx, rowsOfKeys, asJSON(keys))
	if err != nil {
		return nil, fmt.Errorf("read %d rows: %w", len(keys), explain(s.dir, deadline.Reason(ctx, err)))
	}
	return rows, nil
}

// countRows counts the rows of a type, by visibility.
func (s *snapshot) countRows(ctx context.Context, t fhir.Type) (n store.VisibilityCounts, err error) {
	first, last := store.KeyRange(t)
	err = s.tx.QueryRowContext(ctx, `SELECT coalesce(sum(visibility & 3 = 0), 0), coalesce(sum(visibility & 3 = 1), 0), coalesce(sum(visibility & 3 = 2), 0), coalesce(sum(visibility & 3 = 3), 0)
		FROM resource NOT INDEXED WHERE row_key BETWEEN ? AND ?`, first, last).Scan(&n[0], &n[1], &n[2], &n[3])
	return n, err
}

// keptCounts reads the numbers of a type from table resource_count.
func (s *snapshot) keptCounts(ctx context.Context, t fhir.Type) (n store.VisibilityCounts, err error) {
	err = s.tx.QueryRowContext(ctx, keptCounts, int64(t)).Scan(&n[0], &n[1], &n[2], &n[3])
	return n, err
}

const keptCounts = `SELECT coalesce(sum(iif(visibility = 0, number, 0)), 0), coalesce(sum(iif(visibility = 1, number, 0)), 0),
	coalesce(sum(iif(visibility = 2, number, 0)), 0), coalesce(sum(iif(visibility = 3, number, 0)), 0) FROM resource_count WHERE type = ?`

// checkSelected compares the number of rows of a plan without conditions with the one in table
// resource_count.
func (s *snapshot) checkSelected(ctx context.Context, p plan.Plan, found int64) error {
	hiding, all := searchsql.SelectsAll(p)
	if !all {
		return nil
	}
	var kept int64
	err := s.tx.QueryRowContext(ctx, `SELECT coalesce(sum(number), 0) FROM resource_count WHERE type = ? AND visibility & ? = 0`, int64(p.Type), int64(hiding)).Scan(&kept)
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	return store.CheckSelected(p.Type, found, kept)
}

// Close implements store.Snapshot.
func (s *snapshot) Close() error {
	var errs []error
	if s.tx != nil {
		errs = append(errs, s.tx.Rollback())
	}
	errs = append(errs, s.conn.Close())
	for _, err := range errs {
		if err != nil && !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, sql.ErrConnDone) {
			return err
		}
	}
	return nil
}
