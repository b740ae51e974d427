// Package flow starts the real program, speaks HTTP to it, kills it, and looks at
// what is left.
package flow

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// muster is the program under test.
var muster testkit.Program

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &muster)) }

// server is a running program that ends with the test.
type server struct {
	*testkit.Server
	t *testing.T
}

// place is where a test serves: a data directory, a PostgreSQL database or "" for the
// one in the data directory, and an address.
type place struct{ data, database, address string }

func newPlace(t *testing.T) place {
	t.Helper()
	address, err := testkit.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return place{data: filepath.Join(t.TempDir(), "data"), address: address}
}

// onBoth runs a test on a data directory and on a PostgreSQL database.
func onBoth(t *testing.T, test func(t *testing.T, newPlace func(*testing.T) place)) {
	t.Run("SQLite", func(t *testing.T) { test(t, newPlace) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, newPostgresPlace) })
}

func newPostgresPlace(t *testing.T) place {
	t.Helper()
	p := newPlace(t)
	p.database = pgtest.Database(t)
	return p
}

// directory are the options that name the directory.
func (p place) directory() []string {
	if p.database != "" {
		return []string{"--database", p.database}
	}
	return []string{"--data", p.data}
}

// jobs opens the database that the jobs are in.
func (p place) jobs(t *testing.T) *sql.DB {
	t.Helper()
	driver, source := "sqlite", "file:"+filepath.Join(p.data, "jobs.db")+"?mode=ro"
	if p.database != "" {
		driver, source = "pgx", p.database
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// start starts a server that a test kills itself; see [testkit.Program.Serve].
func (p place) start(t *testing.T, faultPoint string, args ...string) *testkit.Server {
	t.Helper()
	if p.database != "" {
		args = append([]string{"--database", p.database}, args...)
	}
	s, err := muster.Serve(p.data, p.address, faultPoint, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts the program, which ends with the test.
func (p place) serve(t *testing.T, faultPoint string, args ...string) server {
	t.Helper()
	s := p.start(t, faultPoint, args...)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.Log())
		}
	})
	return server{s, t}
}

// load runs `muster load` and fails the test unless it exits 0.
func (p place) load(t *testing.T, paths ...string) {
	t.Helper()
	if _, err := muster.Run(append(append([]string{"load"}, p.directory()...), paths...)...); err != nil {
		t.Fatal(err)
	}
}

// where are the options that name the directory and the folder of its files.
func (p place) where() []string {
	where := []string{"--data", p.data}
	if p.database != "" {
		where = append(where, "--database", p.database)
	}
	return where
}

// whole runs `muster check --deep` and fails the test unless it finds nothing.
func (p place) whole(t *testing.T) {
	t.Helper()
	if _, err := muster.Run(append([]string{"check", "--deep"}, p.where()...)...); err != nil {
		t.Error(err)
	}
}

// practitioners writes n small practitioners to an NDJSON file and returns its path.
func practitioners(t *testing.T, n int, family string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "practitioners.ndjson")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, `{"resourceType":"Practitioner","id":"p%d","active":true,"name":[{"family":"%s","given":["N%d"]}]}`+"\n", i, family, i)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

var everyPractitioner = testkit.Parameters("", "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z")

// kickOff starts an export and returns its status URL.
func (s server) kickOff(body string) string {
	s.t.Helper()
	status, err := s.KickOff(body)
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}

// wait polls until the export is complete.
func (s server) wait(status string) testkit.Manifest {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	m, err := s.Wait(ctx, status)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// get fetches a URL as NDJSON without compression.
func get(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	body, status, err := testkit.Fetch(ctx, url, map[string]string{"Accept": "application/fhir+ndjson"})
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: %d, %v", url, status, err)
	}
	return body
}
