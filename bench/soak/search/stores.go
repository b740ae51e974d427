package main

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/conformance"
	"muster/internal/searchtest/compare"
	"muster/internal/store"
	"muster/internal/testkit/stores"
)

// newStores returns a function that returns a new empty store at each call.
func newStores(reg *conformance.Registry, database, url, dir string) (func(context.Context) (store.Store, func() error, error), error) {
	switch database {
	case "sqlite":
		return func(ctx context.Context) (store.Store, func() error, error) {
			return stores.SQLite(ctx, dir, stores.Directory{BaseURL: compare.Base, Registry: reg})
		}, nil
	case "postgres":
		if url == "" {
			return nil, errors.New("no PostgreSQL database: name an empty one with --url")
		}
		return func(ctx context.Context) (store.Store, func() error, error) {
			return stores.Postgres(ctx, url, stores.Directory{BaseURL: compare.Base, Registry: reg})
		}, nil
	}
	return nil, fmt.Errorf("unknown database %q: use sqlite or postgres", database)
}
