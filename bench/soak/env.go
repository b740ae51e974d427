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
	"strings"
	"sync/atomic"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
)

// Env is the environment of a test: the program and one directory, on any database.
type Env struct {
	Program  testkit.Program
	Dir      string    // all files of the run
	Data     string    // data directory; with PostgreSQL, it holds the export files only
	Database string    // URL of its own PostgreSQL database; empty for SQLite
	Address  [2]string // addresses of the servers; the first is part of the base URL

	admin string // URL of the database used to create Database
	files atomic.Int64
}

// NewEnv prepares an environment in dir. With postgres, the URL of a database whose user
// may create databases, it creates a database. It does not create the directory.
func NewEnv(ctx context.Context, program testkit.Program, dir, postgres string) (*Env, error) {
	return newEnv(ctx, program, dir, postgres, "template0")
}

// newEnv prepares an environment whose PostgreSQL database is a copy of another one.
func newEnv(ctx context.Context, program testkit.Program, dir, postgres, template string) (*Env, error) {
	env := &Env{Program: program, Dir: dir, Data: filepath.Join(dir, "data"), admin: postgres}
	for n := range env.Address {
		var err error
		if env.Address[n], err = testkit.FreeAddress(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil || postgres == "" {
		return env, err
	}
	u, err := url.Parse(postgres)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Del("search_path") // a schema of that database, not of the new one
	u.RawQuery = q.Encode()
	u.Path = "muster_soak_" + strings.ToLower(rand.Text())
	env.Database = u.String()
	return env, env.adminExec(ctx, "CREATE DATABASE "+u.Path+" TEMPLATE "+template)
}

// Clone prepares an environment in dir with a copy of the directory, which no process may
// use and no server may have served.
func (env *Env) Clone(ctx context.Context, dir string) (*Env, error) {
	if env.Database != "" {
		u, err := url.Parse(env.Database)
		if err != nil {
			return nil, err
		}
		return newEnv(ctx, env.Program, dir, env.admin, strings.TrimPrefix(u.Path, "/"))
	}
	clone, err := NewEnv(ctx, env.Program, dir, "")
	if err != nil {
		return nil, err
	}
	return clone, os.CopyFS(clone.Data, os.DirFS(env.Data))
}

// adminExec runs a statement on the PostgreSQL server.
func (env *Env) adminExec(ctx context.Context, statement string) error {
	db, err := sql.Open("pgx", env.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// Cleanup removes all files and the database.
func (env *Env) Cleanup(ctx context.Context) error {
	if env.Database != "" {
		u, err := url.Parse(env.Database)
		if err != nil {
			return err
		}
		if err := env.adminExec(ctx, "DROP DATABASE "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return os.RemoveAll(env.Dir)
}

// Serve starts a server and waits until it is ready.
func (env *Env) Serve(args ...string) (*testkit.Server, error) {
	s, err := env.StartServer(0, "", args...)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// StartServer starts a server at one of the addresses and does not wait for it. The
// server crashes at the failpoint, if one is given.
func (env *Env) StartServer(at int, point string, args ...string) (*testkit.Server, error) {
	where := []string{"--data", env.Data, "--base-url", "http://" + env.Address[0] + "/fhir"}
	if env.Database != "" {
		where = append(where, "--database", env.Database)
	}
	return env.Program.StartServer(env.Address[at], point, append(where, args...)...)
}

// StartLoad starts a loader of the lines. It crashes at the failpoint, if one is given.
func (env *Env) StartLoad(point string, lines []string) (*testkit.Process, error) {
	path := filepath.Join(env.Dir, fmt.Sprintf("load-%d.ndjson", env.files.Add(1)%64))
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		return nil, err
	}
	return env.Program.Start(point, env.loadArgs(path)...)
}

// loadArgs returns the arguments of muster to load a file or a folder.
func (env *Env) loadArgs(path string) []string {
	if env.Database != "" {
		return []string{"load", "--database", env.Database, path}
	}
	return []string{"load", "--data", env.Data, path}
}

// LoadFiles loads a folder of NDJSON files.
func (env *Env) LoadFiles(folder string) error {
	_, err := env.Program.Run(env.loadArgs(folder)...)
	return err
}

// Load loads the lines in a new process and returns when all are acknowledged.
func (env *Env) Load(lines []string) error {
	p, err := env.StartLoad("", lines)
	if err != nil {
		return err
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("a load exited with code %d:\n%s", code, p.Log())
	}
	return nil
}

// Open opens the store as another process would, while servers and loaders run.
func (env *Env) Open(ctx context.Context) (store.Store, error) {
	registry, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	options := store.Options{Rules: load.RulesFor(registry)}
	if env.Database != "" {
		return postgres.Open(ctx, env.Database, options)
	}
	return sqlite.Open(ctx, env.Data, options)
}

// Jobs returns the state of every job in the store by id, including jobs whose kick-off
// was not answered.
func (env *Env) Jobs(ctx context.Context) (map[string]store.State, error) {
	states := map[string]store.State{}
	err := env.query(ctx, "SELECT id, state FROM job WHERE id <> ''", func(rows *sql.Rows) error {
		var id string
		var state store.State
		err := rows.Scan(&id, &state)
		states[id] = state
		return err
	})
	return states, err
}

// Progress returns a number that changes whenever a job makes progress.
func (env *Env) Progress(ctx context.Context) (sum int64, err error) {
	err = env.query(ctx, "SELECT CAST(coalesce(sum(progress), 0) AS bigint) FROM job", func(rows *sql.Rows) error { return rows.Scan(&sum) })
	return sum, err
}

// query reads rows of the job store while servers run.
func (env *Env) query(ctx context.Context, text string, scan func(*sql.Rows) error) error {
	driver, source := "sqlite", "file:"+filepath.Join(env.Data, "jobs.db")+"?mode=ro&_pragma=busy_timeout(5000)"
	if env.Database != "" {
		driver, source = "pgx", env.Database
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

// Files returns the names of the export files, including leftovers.
func (env *Env) Files() (names []string, err error) {
	root := filepath.Join(env.Data, sqlite.FilesFolder)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile, or never created
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

// Remove removes resources physically from a store.
func Remove(ctx context.Context, s store.Store, names []Name) error {
	var changes []store.Change
	for _, n := range names {
		t, ok := fhir.ParseType(n.Type)
		if !ok {
			return fmt.Errorf("%s is not a resource type of a directory", n.Type)
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
