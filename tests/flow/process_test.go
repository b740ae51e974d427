// Package flow tests the real program: it starts it, sends HTTP requests, kills it, and
// checks the remaining state.
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

// deployment is a data directory, the URL of a PostgreSQL database or "" for SQLite, and
// an address.
type deployment struct{ data, database, address string }

func newDeployment(t *testing.T) deployment {
	t.Helper()
	address, err := testkit.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return deployment{data: filepath.Join(t.TempDir(), "data"), address: address}
}

// onBothDatabases runs a test on SQLite and on PostgreSQL.
func onBothDatabases(t *testing.T, test func(t *testing.T, newDeployment func(*testing.T) deployment)) {
	t.Run("SQLite", func(t *testing.T) { test(t, newDeployment) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, newPostgresDeployment) })
}

func newPostgresDeployment(t *testing.T) deployment {
	t.Helper()
	p := newDeployment(t)
	p.database = pgtest.Database(t)
	return p
}

// directory returns the options that name the directory.
func (p deployment) directory() []string {
	if p.database != "" {
		return []string{"--database", p.database}
	}
	return []string{"--data", p.data}
}

// jobs opens the database of the jobs.
func (p deployment) jobs(t *testing.T) *sql.DB {
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

// start starts a server that the test kills; see [testkit.Program.Serve].
func (p deployment) start(t *testing.T, point string, args ...string) *testkit.Server {
	t.Helper()
	if p.database != "" {
		args = append([]string{"--database", p.database}, args...)
	}
	s, err := muster.Serve(p.data, p.address, point, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts a server that ends with the test.
func (p deployment) serve(t *testing.T, point string, args ...string) server {
	t.Helper()
	s := p.start(t, point, args...)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.Log())
		}
	})
	return server{s, t}
}

// load runs `muster load` and fails the test unless it succeeds.
func (p deployment) load(t *testing.T, paths ...string) {
	t.Helper()
	if _, err := muster.Run(append(append([]string{"load"}, p.directory()...), paths...)...); err != nil {
		t.Fatal(err)
	}
}

// options returns the options that name the directory and its data directory.
func (p deployment) options() []string {
	options := []string{"--data", p.data}
	if p.database != "" {
		options = append(options, "--database", p.database)
	}
	return options
}

// verify runs `muster check --deep` and fails the test unless it finds no problems.
func (p deployment) verify(t *testing.T) {
	t.Helper()
	if _, err := muster.Run(append([]string{"check", "--deep"}, p.options()...)...); err != nil {
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
