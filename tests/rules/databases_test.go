// Package rules compares directories on both databases with the model of package rulestest: the
// scripts of this folder, and random steps.
package rules

import (
	"context"
	"testing"

	"muster/internal/conformance"
	"muster/internal/load"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/testkit/pgtest"
	"muster/internal/testkit/stores"
)

// onEach runs a test with the configuration of stores on each of the databases.
func onEach(t *testing.T, test func(t *testing.T, c compare.Config)) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	directory := stores.Directory{BaseURL: rulestest.Base, Registry: reg, Rules: load.RulesFor(reg)}
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		test(t, compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
			return stores.SQLite(ctx, dir, directory)
		}})
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Database(t)
		test(t, compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
			return stores.Postgres(ctx, url, directory)
		}})
	})
}
