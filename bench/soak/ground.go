package soak

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Env is where a soak happens: one directory, whatever its database.
type Env struct {
	Program  testkit.Program
	Dir      string    // for everything: data, files to load
	Data     string    // data directory; beside PostgreSQL, the folder of the files
	Database string    // URL of a PostgreSQL database of its own; empty for SQLite
	Address  [2]string // of the servers; the first one is part of the base URL

	admin string // URL of the database that the own one was made from
	files atomic.Int64
}

// NewEnv prepares a ground below dir. With postgres, the URL of a database whose user
// may make others, it makes a database there; the directory is not made yet.
func NewEnv(ctx context.Context, program testkit.Program, dir, postgres string) (*Env, error) {
	g := &Env{Program: program, Dir: dir, Data: filepath.Join(dir, "data"), admin: postgres}
	for n := range g.Address {
		var err error
		if g.Address[n], err = testkit.FreeAddress(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil || postgres == "" {
		return g, err
	}
	u, err := url.Parse(postgres)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Del("search_path") // a schema of that database, not of the new one
	u.RawQuery = q.Encode()
	u.Path = "muster_soak_" + strings.ToLower(rand.Text())
	g.Database = u.String()
	return g, g.adminExec(ctx, "CREATE DATABASE "+u.Path+" TEMPLATE template0")
}

// order gives an order to the PostgreSQL server.
func (g *Env) adminExec(ctx context.Context, statement string) error {
	db, err := sql.Open("pgx", g.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// Clear removes everything.
func (g *Env) Cleanup(ctx context.Context) error {
	if g.Database != "" {
		u, err := url.Parse(g.Database)
		if err != nil {
			return err
		}
		if err := g.adminExec(ctx, "DROP DATABASE "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return os.RemoveAll(g.Dir)
}

// Serve starts a server and waits until it is ready.
func (g *Env) Serve(args ...string) (*testkit.Server, error) {
	s, err := g.StartServer(0, "", args...)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// StartServer starts a server at one of the addresses that may die at a fault point, and
// waits for nothing.
func (g *Env) StartServer(at int, point string, args ...string) (*testkit.Server, error) {
	where := []string{"--data", g.Data, "--base-url", "http://" + g.Address[0] + "/fhir"}
	if g.Database != "" {
		where = append(where, "--database", g.Database)
	}
	return g.Program.StartServer(g.Address[at], point, append(where, args...)...)
}

// StartLoad starts a loader of the lines that may die at a fault point.
func (g *Env) StartLoad(point string, lines []string) (*testkit.Process, error) {
	path := filepath.Join(g.Dir, fmt.Sprintf("load-%d.ndjson", g.files.Add(1)%64))
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		return nil, err
	}
	where := []string{"--data", g.Data}
	if g.Database != "" {
		where = []string{"--database", g.Database}
	}
	return g.Program.Start(point, slices.Concat([]string{"load"}, where, []string{path})...)
}

// Load loads the lines by a process of its own, and returns when all are acknowledged.
func (g *Env) Load(lines []string) error {
	p, err := g.StartLoad("", lines)
	if err != nil {
		return err
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("a load ended with code %d:\n%s", code, p.Log())
	}
	return nil
}

// Open opens the store beside the servers and loaders, as another process would.
func (g *Env) Open(ctx context.Context) (store.Store, error) {
	if g.Database != "" {
		return postgres.Open(ctx, g.Database, store.Options{})
	}
	return sqlite.Open(ctx, g.Data, store.Options{})
}

// Jobs returns the state of every job in the store, by id: those too whose client never
// got an answer.
func (g *Env) Jobs(ctx context.Context) (map[string]store.State, error) {
	states := map[string]store.State{}
	err := g.query(ctx, "SELECT id, state FROM job", func(rows *sql.Rows) error {
		var id string
		var state store.State
		err := rows.Scan(&id, &state)
		states[id] = state
		return err
	})
	return states, err
}

// Progress is a number that changes whenever work on a job comes forward.
func (g *Env) Progress(ctx context.Context) (sum int64, err error) {
	err = g.query(ctx, "SELECT CAST(coalesce(sum(progress), 0) AS bigint) FROM job", func(rows *sql.Rows) error { return rows.Scan(&sum) })
	return sum, err
}

// query reads rows of the job store, beside the servers.
func (g *Env) query(ctx context.Context, text string, scan func(*sql.Rows) error) error {
	driver, source := "sqlite", "file:"+filepath.Join(g.Data, "jobs.db")+"?mode=ro&_pragma=busy_timeout(5000)"
	if g.Database != "" {
		driver, source = "pgx", g.Database
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Files returns the names of the files of exports, leftovers too.
func (g *Env) Files() (names []string, err error) {
	root := filepath.Join(g.Data, sqlite.FilesFolder)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile, or never made
		}
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".owner") {
			name, err := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
			return err
		}
		return err
	})
	return names, err
}

// Remove removes resources from a store, physically.
func Remove(ctx context.Context, s store.Store, names []Name) error {
	var changes []store.Change
	for _, n := range names {
		t, ok := fhir.ParseType(n.Type)
		if !ok {
			return fmt.Errorf("%s is no type of a directory", n.Type)
		}
		changes = append(changes, store.Change{Type: t, ID: n.ID, Remove: true})
	}
	outcomes, err := s.Apply(ctx, changes)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		if o != store.Removed {
			return fmt.Errorf("the removal of %s had outcome %d", names[i], o)
		}
	}
	return nil
}
