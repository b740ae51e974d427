package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"muster/internal/conformance"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit"
	"muster/internal/testkit/stores"
)

// base is the base URL of the directory. All references in it are relative.
const base = "http://localhost:8080/fhir"

// env is the loaded directory.
type env struct {
	source   string // dataFolder of the NDJSON that was loaded
	searcher store.Searcher
	compiler *search.Compiler
	close    func() error
	remove   func(context.Context) error
}

// Close closes the directory, and removes it unless --keep is set.
func (e *env) Close(ctx context.Context) error { return errors.Join(e.close(), e.remove(ctx)) }

// prepare generates and loads the directory unless an earlier run kept it, and opens it.
func prepare(ctx context.Context, o options) (*env, error) {
	dir, err := dataFolder(o)
	if err != nil {
		return nil, err
	}
	e := &env{source: filepath.Join(dir, "source")}
	reg, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	if err := load(o, dir, e.source); err != nil {
		return nil, err
	}
	opened, err := open(ctx, o, dir, store.Options{Expect: store.Identity{DefinitionsHash: reg.DefinitionsHash()}})
	if err != nil {
		return nil, err
	}
	e.searcher, e.close = opened, opened.Close
	e.compiler = search.New(reg, base, index.Zone())
	e.remove = func(ctx context.Context) error { return remove(ctx, o, dir) }
	return e, nil
}

// dataFolder creates the folder for the data.
func dataFolder(o options) (string, error) {
	if o.dir == "" {
		return os.MkdirTemp("", "muster-bench-search")
	}
	return o.dir, os.MkdirAll(o.dir, 0o755)
}

// remove removes the data unless --keep is set.
func remove(ctx context.Context, o options, dir string) error {
	if o.keep {
		return nil
	}
	err := os.RemoveAll(dir)
	if o.database == "postgres" {
		err = errors.Join(err, stores.Empty(ctx, o.url))
	}
	return err
}

type directory interface {
	store.Searcher
	Close() error
}

func open(ctx context.Context, o options, dir string, so store.Options) (directory, error) {
	if o.database == "postgres" {
		return postgres.Open(ctx, o.url, so)
	}
	return sqlite.Open(ctx, filepath.Join(dir, "data"), so)
}

// load generates and loads the directory with the real program. A marker file records
// that loading completed.
func load(o options, dir, source string) error {
	loaded := filepath.Join(dir, "loaded-"+o.database)
	if _, err := os.Stat(loaded); err == nil {
		return nil
	}
	target := []string{"--data", filepath.Join(dir, "data")}
	switch {
	case o.database == "postgres" && o.url == "":
		return errors.New("no PostgreSQL database: name an empty one with --url")
	case o.database == "postgres":
		target = []string{"--database", o.url}
	case o.database != "sqlite":
		return fmt.Errorf("unknown database %q: use sqlite or postgres", o.database)
	}
	program, err := testkit.Build(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(source); err != nil {
		if _, err := program.Run("generate", "--scale", o.scale, "--seed", fmt.Sprint(o.seed), "--out", source); err != nil {
			return err
		}
	}
	out, err := program.Run(append(append([]string{"load"}, target...), source)...)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fmt.Printf("load into %s: %s\n\n", o.database, lines[len(lines)-1])
	return os.WriteFile(loaded, []byte(time.Now().Format(time.RFC3339)), 0o644)
}
