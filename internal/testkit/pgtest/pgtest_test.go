package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestDatabase checks that two databases on the shared server are empty and separate.
func TestDatabase(t *testing.T) {
	one, two := Database(t), Database(t)
	if err := run(one, `CREATE TABLE here (n int)`); err != nil {
		t.Fatal(err)
	}
	if err := run(two, `SELECT n FROM here`); err == nil {
		t.Error("a table of one database exists in the other")
	}
}

// TestServerRestarts stops a private server and starts it again. The URL and the tables stay.
func TestServerRestarts(t *testing.T) {
	s := StartServer(t)
	url := DatabaseOn(t, s.URL)
	if err := run(url, `CREATE TABLE here AS SELECT 7 AS n`); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	if err := run(url, `SELECT 1`); err == nil {
		t.Error("a stopped server answers")
	}
	s.Start(t)
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	var n int
	if err := c.QueryRow(t.Context(), `SELECT n FROM here`).Scan(&n); err != nil || n != 7 {
		t.Errorf("n is %d, %v", n, err)
	}
}
