package search

import (
	"context"
	"testing"

	"muster/internal/conformance"
	"muster/internal/search/index"
	"muster/internal/searchtest/compare"
	"muster/internal/store"
	"muster/internal/testkit/pgtest"
	"muster/internal/testkit/stores"
)

// databases are the databases that the scripts run on.
var databases = map[string]func(t *testing.T, reg *conformance.Registry) compare.Config{
	"sqlite": func(t *testing.T, reg *conformance.Registry) compare.Config {
		return compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
			return stores.SQLite(ctx, t.TempDir(), stores.Directory{BaseURL: compare.Base, Registry: reg})
		}}
	},
	"postgres": func(t *testing.T, reg *conformance.Registry) compare.Config {
		url := pgtest.Database(t)
		return compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
			return stores.Postgres(ctx, url, stores.Directory{BaseURL: compare.Base, Registry: reg})
		}}
	},
}
