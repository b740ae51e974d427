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
	return start()
})

//go:embed server.sh
var script string

// Server is a private PostgreSQL. Not safe for several goroutines.
type Server struct {
	URL    string         // of the database postgres, for its superuser
	stdin  io.WriteCloser // of server.sh
	output *bufio.Scanner
}

// StartServer starts a server that stops at the end of the test.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(func() { _ = s.stdin.Close() })
	return s
}

// start starts a server that runs until stdin is closed or this process ends.
func start() (*Server, error) {
	c := exec.Command("bash", "-c", script)
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

// Stop stops the server as a crash does. Its URL stays the same.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.send(t, "stop") }

// Start starts a stopped server.
func (s *Server) Start(t testing.TB) { t.Helper(); s.send(t, "start") }

// send sends a command to server.sh and waits for its answer.
func (s *Server) send(t testing.TB, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(s.stdin, command); err != nil {
		t.Fatalf("%s PostgreSQL: %v", command, err)
	}
	if !s.output.Scan() || s.output.Text() != "done" {
		t.Fatalf("%s PostgreSQL: %q", command, s.output.Text())
	}
}
