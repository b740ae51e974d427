package pgtest

import (
	"bufio"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable is the environment variable with the URL of the server for tests.
const Variable = "MUSTER_TEST_POSTGRES"

// database contains the schemas of all tests. It is not dropped.
const database = "muster_test"

// Database creates an empty database and returns its URL. The database is dropped at the end of
// the test, even if a process still uses it. Without PostgreSQL the test is skipped, or fails
// if CI=true.
//
// The database is a schema in the database muster_test, which the URL selects: to create and
// drop a whole database takes a second. Queries of pg_stat_activity or pg_locks also return
// rows of other tests.
func Database(t testing.TB) string {
	t.Helper()
	server, err := shared()
	if err != nil {
		missing(t, err)
	}
	return DatabaseOn(t, server.URL)
}

// DatabaseOn creates an empty database as [Database] does, on the server of another database,
// whose URL it takes.
func DatabaseOn(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	// template0, since template1 of a shared server may contain other tables.
	created := run(server, `CREATE DATABASE `+database+` TEMPLATE template0 ENCODING UTF8`)
	u.Path = "/" + database
	base := u.String()
	schema := "test_" + strings.ToLower(rand.Text())
	if err := run(base, `CREATE SCHEMA `+schema); err != nil {
		t.Fatalf("create a database for the test: %v", errors.Join(err, created))
	}
	t.Cleanup(func() {
		if err := run(base, `DROP SCHEMA `+schema+` CASCADE`); err != nil {
			t.Logf("drop the database of the test: %v", err)
		}
	})
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// run runs one statement on a new connection.
func run(server, statement string) error {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

// errNotInstalled is returned if PostgreSQL is not installed.
var errNotInstalled = errors.New("PostgreSQL is not installed and " + Variable + " is not set: apt-get install postgresql, or set it to the URL of a server")

// missing skips the test if PostgreSQL is not installed. Any other error fails the test.
func missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip("skipped: ", err)
	}
	t.Fatal(err)
}

// shared is the server of the tests of this process. The variable keeps a private server
// reachable: the garbage collector would close its pipe, and the server would stop.
var shared = sync.OnceValues(func() (*Server, error) {
	if server := os.Getenv(Variable); server != "" {
		return &Server{URL: server}, nil
	}
	return Run()
})

//go:embed server.sh
var script string

// Server is a private PostgreSQL. Not safe for several goroutines.
type Server struct {
	URL    string         // of the database postgres, for its superuser
	stdin  io.WriteCloser // of server.sh
	output *bufio.Scanner
}

// StartServer starts a server that stops at the end of the test, with options of initdb.
func StartServer(t testing.TB, initdb ...string) *Server {
	t.Helper()
	s, err := Run(initdb...)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(s.Close)
	return s
}

// Run starts a server outside a test, with options of initdb. It runs until [Server.Close] or the
// end of this process.
func Run(initdb ...string) (*Server, error) {
	c := exec.Command("bash", append([]string{"-c", script, "server.sh"}, initdb...)...)
	c.Dir = "/"
	c.SysProcAttr = ownSession()
	stdin, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s := &Server{stdin: stdin, output: bufio.NewScanner(stdout)}
	if s.output.Scan() {
		s.URL = s.output.Text()
		return s, nil
	}
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 69 {
		return nil, errNotInstalled
	}
	return nil, fmt.Errorf("start PostgreSQL: %w\n%s", err, stderr.String())
}

// Close stops the server and removes its data.
func (s *Server) Close() { _ = s.stdin.Close() }

// Stop stops the server as a crash does. Its URL stays the same.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.must(t, "stop") }

// Shutdown stops the server after it has written all pages to its files.
func (s *Server) Shutdown(t testing.TB) { t.Helper(); s.must(t, "shutdown") }

// Start starts a stopped server.
func (s *Server) Start(t testing.TB) { t.Helper(); s.must(t, "start") }

func (s *Server) must(t testing.TB, command string) {
	t.Helper()
	if err := s.Do(command); err != nil {
		t.Fatal(err)
	}
}

// Do carries out a command of server.sh: stop, shutdown or start.
func (s *Server) Do(command string) error {
	if _, err := fmt.Fprintln(s.stdin, command); err != nil {
		return fmt.Errorf("%s PostgreSQL: %w", command, err)
	}
	if !s.output.Scan() || s.output.Text() != "done" {
		return fmt.Errorf("%s PostgreSQL: %q", command, s.output.Text())
	}
	return nil
}

// Files returns the paths of the files of a table and of its indexes by name, also those of its
// values that are stored apart (TOAST). It takes the URL of the database.
func Files(ctx context.Context, database, table string) (map[string]string, error) {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, `WITH heap AS (SELECT $1::regclass::oid AS oid UNION SELECT reltoastrelid FROM pg_class WHERE oid = $1::regclass)
		SELECT relname, current_setting('data_directory') || '/' || pg_relation_filepath(oid) FROM pg_class
		WHERE oid IN (SELECT oid FROM heap UNION SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM heap))`, table)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	var name, path string
	_, err = pgx.ForEachRow(rows, []any{&name, &path}, func() error {
		files[name] = path
		return nil
	})
	return files, err
}
