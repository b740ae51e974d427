// Package stores makes empty stores for tests and measurements that run on either
// database, one after the other, each with the definitions it is to be indexed by.
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

// options let a search take a minute: a machine that runs many tests at once must not
// make it too costly.
func options(base string, reg *conformance.Registry) store.Options {
	return store.Options{SearchDeadline: time.Minute, Create: &store.Identity{BaseURL: base, Mode: "authoritative", DefinitionsHash: reg.DefinitionsHash(), Rules: policy.RulesVersion()}}
}

// SQLite makes a data directory below dir. The function removes it after the store is
// closed.
func SQLite(ctx context.Context, dir, base string, reg *conformance.Registry) (store.Store, func() error, error) {
	data, err := os.MkdirTemp(dir, "data")
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlite.Open(ctx, data, options(base, reg))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(data))
	}
	return s, func() error { return os.RemoveAll(data) }, nil
}

// Postgres makes the tables in the database with this URL, in the empty schema that its
// search_path begins with, or else public. The function drops them after the store is
// closed, with everything else in the schema, so that it is empty for the next. One store
// at a time.
func Postgres(ctx context.Context, url, base string, reg *conformance.Registry) (store.Store, func() error, error) {
	s, err := postgres.Open(ctx, url, options(base, reg))
	if err != nil {
		return nil, nil, err
	}
	return s, func() error { return Empty(context.WithoutCancel(ctx), url) }, nil
}

// Empty drops everything in the schema that a database URL leads to.
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
