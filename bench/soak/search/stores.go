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

// newStores returns what makes one empty store after the other.
func newStores(reg *conformance.Registry, database, url, dir string) (func(context.Context) (store.Store, func() error, error), error) {
	switch database {
	case "sqlite":
		return func(ctx context.Context) (store.Store, func() error, error) {
			return stores.SQLite(ctx, dir, compare.Base, reg)
		}, nil
	case "postgres":
		if url == "" {
			return nil, errors.New("name the empty PostgreSQL database to use with --url")
		}
		return func(ctx context.Context) (store.Store, func() error, error) {
			return stores.Postgres(ctx, url, compare.Base, reg)
		}, nil
	}
	return nil, fmt.Errorf("there is no database %q: use sqlite or postgres", database)
}
