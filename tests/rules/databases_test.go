// Package rules compares directories on both databases with the model of package rulestest: the
// scripts of this folder, and random steps.
package rules

import (
	"context"
	"testing"

	"muster/internal/conformance"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/testkit/pgtest"
	"muster/internal/testkit/stores"
)

// opener returns the configuration of stores on one of the databases.
type opener func(t *testing.T) compare.Config

// onEach runs a test on both databases.
func onEach(t *testing.T, test func(t *testing.T, open opener)) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t *testing.T) compare.Config {
			return compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
				return stores.SQLite(ctx, t.TempDir(), rulestest.Base, reg)
			}}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, func(t *testing.T) compare.Config {
			url := pgtest.Database(t)
			return compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
				return stores.Postgres(ctx, url, rulestest.Base, reg)
			}}
		})
	})
}
