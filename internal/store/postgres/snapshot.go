package postgres

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/deadline"
	"muster/internal/store/jobsql"
	"muster/internal/store/searchsql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// snapshot is a read transaction on its own connection.
type snapshot struct {
	conn *pgxpool.Conn
	tx   pgx.Tx
	time fhir.Instant

	recount *store.Recount
}

// OpenSnapshot implements store.Directory.
func (s *Store) OpenSnapshot(ctx context.Context, pin func(context.Context, fhir.Instant) error) (store.Snapshot, error) {
	snap, err := s.openSnapshot(ctx, pin)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", explain(err))
	}
	return snap, nil
}

func (s *Store) openSnapshot(ctx context.Context, pin func(context.Context, fhir.Instant) error) (_ *snapshot, err error) {
	// Get the connection before the gate, so that the gate is not held while waiting for one.
	snap := &snapshot{recount: &s.recount}
	if snap.conn, err = s.exports.Acquire(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, snap.Close())
		}
	}()
	gate, err := s.acquireSettled(ctx)
	if err != nil {
		return nil, err
	}
	defer gate.release()
	// The snapshot begins after the gate is acquired (D2): its first statement fixes what it
	// sees. It outlives ctx.
	seen, err := snap.begin(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	var before fhir.Instant
	if snap.time, before, err = s.drawTime(ctx, gate); err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.snapshot.drawn"); err != nil {
		return nil, err
	}
	// T and the job that needs it are committed in one transaction.
	if err := pin(jobsql.Within(ctx, gate.tx), snap.time); err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.snapshot.pinned"); err != nil {
		return nil, err
	}
	if before != seen {
		return nil, fmt.Errorf("the clock changed from %d to %d inside the gate: another program writes to the tables. Stop it and try again", seen, before)
	}
	return snap, gate.tx.Commit()
}

// begin starts the transaction and fixes what it sees. It returns the last time of table
// clock.
func (s *snapshot) begin(ctx context.Context) (last fhir.Instant, err error) {
	if s.tx, err = s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		return 0, err
	}
	return last, s.tx.QueryRow(ctx, `SELECT last FROM clock`).Scan((*int64)(&last))
}

// Time implements store.Snapshot.
func (s *snapshot) Time() fhir.Instant { return s.time }

// CheckCounts implements store.Snapshot.
func (s *snapshot) CheckCounts(ctx context.Context, p plan.Plan) error {
	return explain(deadline.Reason(ctx, s.recount.Check(ctx, p, s.countRows, s.keptCounts)))
}

// Select implements store.Snapshot.
func (s *snapshot) Select(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	return explain(deadline.Reason(ctx, s.selectRows(ctx, p, yield)))
}

func (s *snapshot) selectRows(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	statement, err := searchsql.Selection(ctx, searchsql.PostgreSQL, p, counting(s.tx))
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	rows, err := s.tx.Query(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	defer rows.Close()
	found := int64(0)
	for rows.Next() {
		values := rows.RawValues()
		found++
		if err := yield(store.RowKey(decodeBigint(values[0])), decodeBigint(values[1])); err != nil {
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
	rows, err := s.tx.Query(ctx, `SELECT t.id, t.row_key, coalesce(r.row_key, 0) FROM tombstone AS t LEFT JOIN resource AS r ON r.type = t.type AND r.id = t.id
		WHERE t.type = $1 AND t.committed > $2 ORDER BY t.id, t.version`, int64(t), int64(since))
	if err == nil {
		var r store.Removal
		_, err = pgx.ForEachRow(rows, []any{&r.ID, (*int64)(&r.Key), (*int64)(&r.Again)}, func() error { return yield(r) })
	}
	if err != nil {
		return fmt.Errorf("list the removals of %v: %w", t, explain(deadline.Reason(ctx, err)))
	}
	return nil
}

// Rows implements store.Snapshot.
func (s *snapshot) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	rows, err := rowsOf(ctx, s.tx, rowsOfKeys, int64s(keys))
	if err != nil {
		return nil, fmt.Errorf("read %d rows: %w", len(keys), explain(deadline.Reason(ctx, err)))
	}
	return rows, nil
}

// countRows counts the rows of a type, by visibility.
func (s *snapshot) countRows(ctx context.Context, t fhir.Type) (n store.VisibilityCounts, err error) {
	first, last := store.KeyRange(t)
	err = s.tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE visibility & 3 = 0), count(*) FILTER (WHERE visibility & 3 = 1), count(*) FILTER (WHERE visibility & 3 = 2),
		count(*) FILTER (WHERE visibility & 3 = 3) FROM resource WHERE row_key BETWEEN $1 AND $2`, int64(first), int64(last)).Scan(&n[0], &n[1], &n[2], &n[3])
	return n, err
}

// keptCounts reads the numbers of a type from table resource_count.
func (s *snapshot) keptCounts(ctx context.Context, t fhir.Type) (n store.VisibilityCounts, err error) {
	err = s.tx.QueryRow(ctx, keptCounts, int64(t)).Scan(&n[0], &n[1], &n[2], &n[3])
	return n, err
}

const keptCounts = `SELECT coalesce(sum(number) FILTER (WHERE visibility = 0), 0)::bigint, coalesce(sum(number) FILTER (WHERE visibility = 1), 0)::bigint,
	coalesce(sum(number) FILTER (WHERE visibility = 2), 0)::bigint, coalesce(sum(number) FILTER (WHERE visibility = 3), 0)::bigint
	FROM resource_count WHERE type = $1`

// checkSelected compares the number of rows of a plan without conditions with the one in table
// resource_count.
func (s *snapshot) checkSelected(ctx context.Context, p plan.Plan, found int64) error {
	hiding, all := searchsql.SelectsAll(p)
	if !all {
		return nil
	}
	var kept int64
	err := s.tx.QueryRow(ctx, `SELECT coalesce(sum(number), 0)::bigint FROM resource_count WHERE type = $1 AND visibility & $2 = 0`, int64(p.Type), int64(hiding)).Scan(&kept)
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	return store.CheckSelected(p.Type, found, kept)
}

// Close implements store.Snapshot.
func (s *snapshot) Close() (err error) {
	if s.conn == nil {
		return nil
	}
	if s.tx != nil {
		// A cancelled statement may have closed the connection, which ended the transaction.
		if err = s.tx.Rollback(context.Background()); errors.Is(err, pgx.ErrTxClosed) || s.conn.Conn().IsClosed() {
			err = nil
		}
	}
	s.conn.Release()
	s.conn = nil
	return err
}
