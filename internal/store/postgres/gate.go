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

// Advisory locks. The first number is the purpose, the second one a hash of the schema of the
// tables, so that several directories in one database do not share locks.
const (
	gateLock    = `1836414065, hashtext(current_schema())`      // the write gate
	migrateLock = `1836414064, hashtext(current_schema())`      // creates or migrates the tables
	serveLock   = `1836414067, hashtext(current_schema())`      // shared: servers; exclusive: a rebuild of the index
	ownerLock   = `1836414066, hashtext(current_schema() || ?)` // creates a job of an owner
)

// gateTx is a READ COMMITTED transaction that holds the lock of the write gate until it ends.
type gateTx struct {
	conn *sql.Conn
	tx   *sql.Tx
}

// acquireGate waits for the gate, or until ctx ends. The gate is fair over all processes:
// PostgreSQL keeps a queue. The lock ends with the transaction, so it cannot outlive the
// session when the process dies. The caller calls release.
func (s *Store) acquireGate(ctx context.Context) (_ *gateTx, err error) {
	if s.waited != nil {
		start := time.Now()
		defer func() { s.waited(time.Since(start)) }()
	}
	gate, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			gate.release()
		}
	}()
	var free bool
	var limit string
	err = gate.tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock(`+gateLock+`), set_config('statement_timeout', $1, true)`, gateStatement).Scan(&free, &limit)
	if err != nil || free {
		return gate, err
	}
	if err := failpoint.Inject(ctx, "directory.gate.waiting"); err != nil {
		return nil, err
	}
	// The wait may take longer than a statement inside the gate may: lock_timeout limits it.
	if _, err := gate.tx.ExecContext(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
		return nil, err
	}
	if _, err := gate.tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(`+gateLock+`)`); err != nil {
		return nil, err
	}
	_, err = gate.tx.ExecContext(ctx, `SELECT set_config('statement_timeout', $1, true)`, gateStatement)
	return gate, err
}

// begin starts a transaction on a connection of the gate's pool. It skips connections that a
// restart of the server has closed.
func (s *Store) begin(ctx context.Context) (*gateTx, error) {
	for tries := gateSessions; ; tries-- {
		conn, err := s.gate.Conn(ctx)
		if err != nil {
			return nil, err
		}
		// With ctx, database/sql could roll back while pgx uses the connection.
		tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return &gateTx{conn, tx}, nil
		}
		_ = conn.Close()
		if !stale(err) || tries == 0 {
			return nil, err
		}
	}
}

// stale reports whether a statement was not sent to the database, because its connection was
// closed already.
func stale(err error) bool { return pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) }

// release rolls the transaction back unless it is committed, and so releases the gate.
func (gate *gateTx) release() {
	_ = gate.tx.Rollback()
	_ = gate.conn.Close()
}

// raw calls f with the pgx connection of the transaction.
func (gate *gateTx) raw(f func(*pgx.Conn) error) error {
	return gate.conn.Raw(func(c any) error {
		conn, ok := c.(*stdlib.Conn)
		if !ok {
			return errors.New("the connection is not a connection of pgx")
		}
		return f(conn.Conn())
	})
}
