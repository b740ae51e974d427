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

// Variable is the environment variable that names the server to test on.
const Variable = "MUSTER_TEST_POSTGRES"

// database holds the schemas of all tests. It stays on the server.
const database = "muster_test"

// Database makes an empty database and returns its URL. It is dropped at the end
// of the test, whoever still uses it. Without PostgreSQL the test is skipped, or
// fails where CI=true.
//
// It is a schema of its own in the database muster_test, which the URL selects, since
// a whole database takes a second to make and to drop. What looks at pg_stat_activity
// or pg_locks there sees other tests too.
func Database(t testing.TB) string {
	t.Helper()
	server, err := shared()
	if err != nil {
		missing(t, err)
	}
	return DatabaseOn(t, server.URL)
}

// DatabaseOn makes an empty database as [Database] does, on the server that has a
// database with this URL.
func DatabaseOn(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	// template0: whatever somebody put into template1 of a shared server stays out.
	made := run(server, `CREATE DATABASE `+database+` TEMPLATE template0 ENCODING UTF8`)
	u.Path = "/" + database
	whole := u.String()
	schema := "test_" + strings.ToLower(rand.Text())
	if err := run(whole, `CREATE SCHEMA `+schema); err != nil {
		t.Fatalf("make a database for the test: %v", errors.Join(err, made))
	}
	t.Cleanup(func() {
		if err := run(whole, `DROP SCHEMA `+schema+` CASCADE`); err != nil {
			t.Logf("drop the database of the test: %v", err)
		}
	})
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// run runs one statement on a connection of its own.
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

// errNotInstalled tells that there is nothing to start.
var errNotInstalled = errors.New("PostgreSQL is not installed and " + Variable + " is not set: apt-get install postgresql, or set it to the URL of a server")

// missing skips the test where PostgreSQL is not installed. All else is a failure.
func missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip("skipped: ", err)
	}
	t.Fatal(err)
}

// shared is the server that the tests of this process share. It stays reachable: a
// private one that was collected would have its pipe closed, and would take that for
// the end of the process.
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
	URL    string // of the database postgres, for its superuser
	orders io.WriteCloser
	lines  *bufio.Scanner
}

// StartServer starts a server that is gone at the end of the test.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(func() { _ = s.orders.Close() })
	return s
}

// start starts a server that lives as long as this process, or until orders is closed.
func start() (*Server, error) {
	c := exec.Command("bash", "-c", script)
	c.Dir = "/"
	c.SysProcAttr = ownSession()
	orders, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaints strings.Builder
	c.Stderr = &complaints
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s := &Server{orders: orders, lines: bufio.NewScanner(answers)}
	if s.lines.Scan() {
		s.URL = s.lines.Text()
		return s, nil
	}
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 69 {
		return nil, errNotInstalled
	}
	return nil, fmt.Errorf("start PostgreSQL: %w\n%s", err, complaints.String())
}

// Stop takes the server away as a crash would. The URL stays its own.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.order(t, "stop") }

// Start brings a stopped server back.
func (s *Server) Start(t testing.TB) { t.Helper(); s.order(t, "start") }

func (s *Server) order(t testing.TB, order string) {
	t.Helper()
	if _, err := fmt.Fprintln(s.orders, order); err != nil {
		t.Fatalf("%s PostgreSQL: %v", order, err)
	}
	if !s.lines.Scan() || s.lines.Text() != "done" {
		t.Fatalf("%s PostgreSQL: %q", order, s.lines.Text())
	}
}
