package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"muster/internal/store/deadline"
	"muster/internal/testkit/pgtest"
)

// TestStatementEndsBetweenRows checks that the end of a context ends a statement that has
// returned rows and looks for the next one, also in the server.
func TestStatementEndsBetweenRows(t *testing.T) {
	s := openTest(t, pgtest.Database(t), nil)
	conn, err := s.exports.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	backend := conn.Conn().PgConn().PID()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rows, err := conn.Query(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
		SELECT i FROM n WHERE i < 10000 OR i = 1000000000`) // the server sends rows in batches
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("there is no first row: %v", rows.Err())
	}
	stop()
	for rows.Next() {
	}
	if err := deadline.Reason(ctx, rows.Err()); !errors.Is(err, context.Canceled) {
		t.Errorf("the statement ended with %v", rows.Err())
	}
	for until := time.Now().Add(10 * time.Second); ; {
		var running bool
		if err := s.reads.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active')`, backend).Scan(&running); err != nil {
			t.Fatal(err)
		}
		if !running {
			return
		}
		if time.Now().After(until) {
			t.Fatal("the server still runs the statement")
		}
	}
}

// TestInterruptKeepsTheSession interrupts statements of a search session again and again. The session
// stays, and no interruption hits the statement that follows.
func TestInterruptKeepsTheSession(t *testing.T) {
	s := openTest(t, pgtest.Database(t), nil)
	conn, err := s.searches.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	backend := conn.Conn().PgConn().PID()
	for n := range 30 {
		// Some statements end at about the same time as their context.
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(n)*time.Millisecond)
		_, err := conn.Exec(ctx, `SELECT pg_sleep($1)`, 0.015)
		stop()
		if err != nil && ctx.Err() == nil {
			t.Fatalf("statement %d: %v", n, err)
		}
		var pid uint32
		if err := conn.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil || pid != backend {
			t.Fatalf("after statement %d: session %d, %v, want session %d", n, pid, err, backend)
		}
	}
}
