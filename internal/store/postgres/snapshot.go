package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/jobsql"
	"muster/internal/store/searchsql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// snapshot is a read transaction on a connection of its own.
type snapshot struct {
	conn     *pgxpool.Conn
	tx       pgx.Tx
	time     fhir.Instant
	deadline time.Duration
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
	// The connection comes first: nobody waits for one inside the gate.
	snap := &snapshot{deadline: s.deadline}
	if snap.conn, err = s.readers.Acquire(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, snap.Close())
		}
	}()
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.leave()
	// Only now, with the gate taken, does the snapshot begin (D2): what it sees is what
	// its first statement sees. It outlives ctx.
	seen, err := snap.begin(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	var before fhir.Instant
	if snap.time, before, err = s.draw(ctx, in); err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.snapshot.drawn"); err != nil {
		return nil, err
	}
	// T and the job that needs it are committed together, or neither is.
	if err := pin(jobsql.Within(ctx, in.tx), snap.time); err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.snapshot.pinned"); err != nil {
		return nil, err
	}
	if before != seen {
		return nil, fmt.Errorf("the clock went from %d to %d inside the gate: another program writes to the tables. Stop it and try again", seen, before)
	}
	return snap, in.tx.Commit()
}

// begin starts the transaction and fixes what it sees. It returns the last moment
// that was given out by then.
func (s *snapshot) begin(ctx context.Context) (last fhir.Instant, err error) {
	if s.tx, err = s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		return 0, err
	}
	return last, s.tx.QueryRow(ctx, `SELECT last FROM clock`).Scan((*int64)(&last))
}

// Time implements store.Snapshot.
func (s *snapshot) Time() fhir.Instant { return s.time }

// Close implements store.Snapshot.
func (s *snapshot) Close() (err error) {
	if s.conn == nil {
		return nil
	}
	if s.tx != nil {
		// A connection that a cancelled statement has broken has no transaction to end.
		if err = s.tx.Rollback(context.Background()); errors.Is(err, pgx.ErrTxClosed) || s.conn.Conn().IsClosed() {
			err = nil
		}
	}
	s.conn.Release()
	s.conn = nil
	return err
}

// Select implements store.Snapshot.
func (s *snapshot) Select(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, s.deadline,
		fmt.Errorf("the selection of %v ran for %v and was stopped: narrow its filter", p.Type, s.deadline))
	defer stop()
	err := s.selectRows(ctx, p, yield)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return explain(err)
}

func (s *snapshot) selectRows(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	work, err := searchsql.PostgreSQL.Arrange(ctx, p, searchsql.ExportBound, counting(s.tx))
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	statement := searchsql.PostgreSQL.Select(work)
	rows, err := s.tx.Query(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		if err := yield(store.RowKey(number(values[0])), number(values[1])); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	return nil
}
