package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"muster/internal/failpoint"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Advisory locks, of two numbers: what for, and a hash of the schema that holds the
// tables. Several directories in schemas of one database keep out of each other's way.
const (
	gateLock  = `1836414065, hashtext(current_schema())`      // one writer at a time
	makeLock  = `1836414064, hashtext(current_schema())`      // one who makes or migrates the tables at a time
	serveLock = `1836414067, hashtext(current_schema())`      // shared by those who serve; whole for who makes the index anew
	ownLock   = `1836414066, hashtext(current_schema() || ?)` // one who starts a job of an owner at a time
)

// inside is a stay inside the gate: a transaction, READ COMMITTED, that holds the
// gate's lock until it ends.
type inside struct {
	conn *sql.Conn
	tx   *sql.Tx
}

// enter waits for the gate, or for the end of ctx. Who came first is let in first,
// over all processes: PostgreSQL keeps a queue. The lock goes with the transaction,
// so it cannot outlive the session, whatever becomes of the process.
func (s *Store) enter(ctx context.Context) (_ *inside, err error) {
	if s.waited != nil {
		start := time.Now()
		defer func() { s.waited(time.Since(start)) }()
	}
	in, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			in.leave()
		}
	}()
	var free bool
	var limit string
	err = in.tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock(`+gateLock+`), set_config('statement_timeout', $1, true)`, gateStatement).Scan(&free, &limit)
	if err != nil || free {
		return in, err
	}
	if err := failpoint.Inject(ctx, "directory.gate.waiting"); err != nil {
		return nil, err
	}
	// The turn may take longer than a statement inside the gate: lock_timeout ends it.
	if _, err := in.tx.ExecContext(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
		return nil, err
	}
	if _, err := in.tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(`+gateLock+`)`); err != nil {
		return nil, err
	}
	_, err = in.tx.ExecContext(ctx, `SELECT set_config('statement_timeout', $1, true)`, gateStatement)
	return in, err
}

// begin starts a transaction on a connection that may pass the gate. Connections
// that a restart of the server has left stale in the pool are passed over.
func (s *Store) begin(ctx context.Context) (*inside, error) {
	for tries := gateSessions; ; tries-- {
		conn, err := s.gate.Conn(ctx)
		if err != nil {
			return nil, err
		}
		// A transaction that watched ctx would roll back while pgx is used below it.
		tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return &inside{conn, tx}, nil
		}
		_ = conn.Close()
		if !stale(err) || tries == 0 {
			return nil, err
		}
	}
}

// stale reports whether a statement never left for the database, because its
// connection was closed before.
func stale(err error) bool { return pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) }

// leave ends the stay. What was not committed is rolled back.
func (in *inside) leave() {
	_ = in.tx.Rollback()
	_ = in.conn.Close()
}

// raw calls f with the connection of the transaction.
func (in *inside) raw(f func(*pgx.Conn) error) error {
	return in.conn.Raw(func(c any) error {
		conn, ok := c.(*stdlib.Conn)
		if !ok {
			return errors.New("the connection is not one of pgx")
		}
		return f(conn.Conn())
	})
}
