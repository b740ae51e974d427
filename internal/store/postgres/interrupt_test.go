package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

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
	if !errors.Is(rows.Err(), context.Canceled) {
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
