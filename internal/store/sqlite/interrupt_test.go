package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"
)

// slowAfterOne finds one row at once, and another after minutes.
const slowAfterOne = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
	SELECT i FROM n WHERE i IN (1, 1000000000)`

// TestStatementEndsBetweenRows checks that the end of a context ends a statement that has
// returned rows and looks for the next one, and that its connection can be used again.
func TestStatementEndsBetweenRows(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rows, err := s.reads.QueryContext(ctx, slowAfterOne)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("there is no first row: %v", rows.Err())
	}
	stop()
	stopped := time.Now()
	if rows.Next() || !errors.Is(rows.Err(), context.Canceled) {
		t.Errorf("the statement ended with %v", rows.Err())
	}
	if took := time.Since(stopped); took > 10*time.Second {
		t.Errorf("the statement ran for another %v", took)
	}
}

// TestInterruptHitsItsStatementOnly checks that a context that ends after its statement does
// not end a later statement of the connection.
func TestInterruptHitsItsStatementOnly(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	conn, err := s.reads.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for range 200 {
		ctx, stop := context.WithCancel(t.Context())
		first, err := tx.QueryContext(ctx, `SELECT 1`)
		if err != nil {
			t.Fatal(err)
		}
		second, err := tx.QueryContext(t.Context(), `SELECT 1 UNION ALL SELECT 2`)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		stop()
		n := 0
		for second.Next() {
			n++
		}
		if n != 2 || second.Err() != nil {
			t.Fatalf("%d rows, %v", n, second.Err())
		}
		_ = second.Close()
	}
}
