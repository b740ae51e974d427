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

// base is the base URL of the directory: all references in it are relative.
const base = "http://localhost:8080/fhir"

// ground is the loaded directory.
type ground struct {
	source   string // folder of the NDJSON that was loaded
	searcher store.Searcher
	compiler *search.Compiler
	close    func() error
	remove   func(context.Context) error
}

// Close closes the directory, and removes it unless it is to be kept.
func (g *ground) Close(ctx context.Context) error { return errors.Join(g.close(), g.remove(ctx)) }

// prepare makes what a run before has not left, and opens the directory.
func prepare(ctx context.Context, o options) (*ground, error) {
	dir, err := folder(o)
	if err != nil {
		return nil, err
	}
	g := &ground{source: filepath.Join(dir, "source")}
	reg, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	if err := load(o, dir, g.source); err != nil {
		return nil, err
	}
	opened, err := open(ctx, o, dir, store.Options{Expect: store.Identity{DefinitionsHash: reg.DefinitionsHash()}})
	if err != nil {
		return nil, err
	}
	g.searcher, g.close = opened, opened.Close
	g.compiler = search.New(reg, base, index.Zone())
	g.remove = func(ctx context.Context) error { return remove(ctx, o, dir) }
	return g, nil
}

// folder makes the folder of the data.
func folder(o options) (string, error) {
	if o.dir == "" {
		return os.MkdirTemp("", "muster-bench-search")
	}
	return o.dir, os.MkdirAll(o.dir, 0o755)
}

// remove takes away what is not kept.
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

// load generates and loads with the real program. A file says that it came to its end.
func load(o options, dir, source string) error {
	loaded := filepath.Join(dir, "loaded-"+o.database)
	if _, err := os.Stat(loaded); err == nil {
		return nil
	}
	where := []string{"--data", filepath.Join(dir, "data")}
	switch {
	case o.database == "postgres" && o.url == "":
		return errors.New("name the empty PostgreSQL database to use with --url")
	case o.database == "postgres":
		where = []string{"--database", o.url}
	case o.database != "sqlite":
		return fmt.Errorf("there is no database %q: use sqlite or postgres", o.database)
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
	out, err := program.Run(append(append([]string{"load"}, where...), source)...)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fmt.Printf("load into %s: %s\n\n", o.database, lines[len(lines)-1])
	return os.WriteFile(loaded, []byte(time.Now().Format(time.RFC3339)), 0o644)
}
