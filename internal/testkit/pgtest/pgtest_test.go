package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestDatabase makes two databases on the shared server: they are empty and apart.
func TestDatabase(t *testing.T) {
	one, two := Database(t), Database(t)
	if err := run(one, `CREATE TABLE here (n int)`); err != nil {
		t.Fatal(err)
	}
	if err := run(two, `SELECT n FROM here`); err == nil {
		t.Error("a table of one database is there in the other")
	}
}

// TestServerComesBack stops a private server and starts it again: what was written
// is there, under the same URL.
func TestServerComesBack(t *testing.T) {
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
