package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"muster/internal/failpoint"
	"muster/internal/share"
	"muster/internal/store"

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
	clientLock  = `1836414066, hashtext(current_schema() || ?)` // creates a job of a client
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
	start := time.Now()
	defer share.Waited(ctx, start)
	if s.waited != nil {
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
		s.reportStall(ctx, err, time.Since(start))
		return nil, err
	}
	s.stalls.Passed()
	_, err = gate.tx.ExecContext(ctx, `SELECT set_config('statement_timeout', $1, true)`, gateStatement)
	return gate, err
}

// lockNotAvailable is the SQLSTATE of a wait that exceeded lock_timeout.
const lockNotAvailable = "55P03"

// reportStall reports the session that holds the gate, if a wait for it has ended by
// lock_timeout and the transaction of the session is older than the wait.
func (s *Store) reportStall(ctx context.Context, failed error, waited time.Duration) {
	var refused *pgconn.PgError
	if !errors.As(failed, &refused) || refused.Code != lockNotAvailable {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTimeout)
	defer cancel()
	if stall, stalled, err := stalledGate(ctx, s.reads, waited); err == nil && stalled {
		s.stalls.Stalled(stall, time.Now())
	}
}

// gateHolder selects the session that holds the gate, and for how long, in ms. An idle session
// has no statement, which the database ends after a timeout: only a session that the machine
// or a proxy has suspended holds the gate for longer.
const gateHolder = `SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'local'), a.xact_start,
	(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::bigint
	FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND a.xact_start IS NOT NULL
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND (l.classid::bigint, l.objid::bigint) IN (SELECT k.a, k.b::bigint & 4294967295 FROM (VALUES (` + gateLock + `)) AS k (a, b))
	ORDER BY a.xact_start LIMIT 1`

// stalledGate reports whether a session has held the gate for at least a time. It acquires no
// lock.
func stalledGate(ctx context.Context, q rowQuerier, after time.Duration) (stall store.GateStall, stalled bool, err error) {
	var pid int
	var name, address string
	var since time.Time
	var held int64
	err = q.QueryRow(ctx, gateHolder).Scan(&pid, &name, &address, &since, &held)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && time.Duration(held)*time.Millisecond < after {
		return stall, false, nil
	}
	if err != nil {
		return stall, false, fmt.Errorf("look for the holder of the write gate: %w", explain(err))
	}
	return store.GateStall{
		Holder: fmt.Sprintf("session %d of PostgreSQL (%s, from %s)", pid, name, address), Since: since, For: time.Duration(held) * time.Millisecond,
		Remedy: fmt.Sprintf("if its program is suspended, continue or end that; otherwise run SELECT pg_terminate_backend(%d). Committed data are safe", pid),
	}, true, nil
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

// commit commits the transaction, which releases the gate.
func (gate *gateTx) commit(context.Context) error { return gate.tx.Commit() }

// keepGate commits a transaction and begins the next one. A lock of the session holds the gate in
// between. The session is never outside a transaction, so a process that stops loses it as always.
const keepGate = `SELECT pg_advisory_lock(` + gateLock + `); COMMIT AND CHAIN;
	SELECT pg_advisory_xact_lock(` + gateLock + `); SELECT pg_advisory_unlock(` + gateLock + `);
	SET LOCAL statement_timeout = ` + gateStatement

// commitAndKeep commits the transaction and begins another one without leaving the gate. After an
// error it closes the session, whose lock would outlive the transaction.
func (gate *gateTx) commitAndKeep(ctx context.Context) error {
	return gate.raw(func(conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, keepGate).ReadAll()
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		return err
	})
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
