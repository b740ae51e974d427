// Package stores creates empty stores for tests and benchmarks that run on both databases.
package stores

import (
	"context"
	"errors"
	"os"
	"time"

	"muster/internal/conformance"
	"muster/internal/policy"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"

	"github.com/jackc/pgx/v5"
)

// Directory says what directory to create.
type Directory struct {
	BaseURL  string
	Registry *conformance.Registry
	// Rules return the rules of what resources inherit from others; see [store.Options]. Without
	// them, each resource has its own state only.
	Rules func(store.Identity) (store.Rules, error)
	// Dependants is how many dependants a write makes part of its own transaction; see
	// [store.Options].
	Dependants int
}

// options returns the options of a store. Searches may take a minute, so that they do not fail
// on a machine that runs many tests at once.
func (d Directory) options() store.Options {
	return store.Options{SearchDeadline: time.Minute, Rules: d.Rules, Dependants: d.Dependants, Create: &store.Identity{
		BaseURL: d.BaseURL, Mode: "authoritative", DefinitionsHash: d.Registry.DefinitionsHash(), Rules: policy.RulesVersion(),
	}}
}

// SQLite creates a data directory in dir. The returned function removes it; it is called after
// the store is closed.
func SQLite(ctx context.Context, dir string, d Directory) (store.Store, func() error, error) {
	data, err := os.MkdirTemp(dir, "data")
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlite.Open(ctx, data, d.options())
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(data))
	}
	return s, func() error { return os.RemoveAll(data) }, nil
}

// Postgres creates the tables in the database with the URL: in the first schema of its
// search_path, or else in public. The schema must be empty. The returned function empties it
// again; it is called after the store is closed. A schema holds one store at a time.
func Postgres(ctx context.Context, url string, d Directory) (store.Store, func() error, error) {
	s, err := postgres.Open(ctx, url, d.options())
	if err != nil {
		return nil, nil, err
	}
	return s, func() error { return Empty(context.WithoutCancel(ctx), url) }, nil
}

// Empty drops everything in the schema that a database URL selects.
func Empty(ctx context.Context, url string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, `DO $$
		DECLARE here text := current_schema();
		BEGIN
			EXECUTE format('DROP SCHEMA %I CASCADE', here);
			EXECUTE format('CREATE SCHEMA %I', here);
		END $$`)
	return errors.Join(err, c.Close(ctx))
}
