package rules

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/testkit/stores"
)

var (
	sequences = flag.Int("sequences", 3, "number of random sequences on each database")
	seed      = flag.Uint64("seed", rand.Uint64N(1_000_000), "seed of the random sequences")
)

// TestRandomSequences compares random sequences of steps with the model, on both databases.
func TestRandomSequences(t *testing.T) {
	t.Attr("requirements", "VI-01 VI-02 VI-03 VI-04 VI-08 VI-09 VI-10 VI-12 VI-14 VI-16 VI-17 SU-01 SU-03 SU-04 SU-05 SU-06 SU-07 SU-08 SU-10 SU-11")
	onEach(t, func(t *testing.T, c compare.Config) {
		t.Parallel()
		counts, failure, err := c.Run(t.Context(), compare.Draw{Seed: *seed, Sequences: *sequences}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if failure != nil {
			smallest, err := c.Shrink(t.Context(), *failure)
			t.Fatalf("%v\n%v", smallest, err)
		}
		t.Logf("seed %d: %+v", *seed, counts)
	})
}

// TestDifferenceIsFound compares a directory in which nothing is inherited. The first sequence that
// shows it is found, and its steps are reduced to those that are necessary.
func TestDifferenceIsFound(t *testing.T) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := compare.Config{Registry: reg, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
		return stores.SQLite(ctx, dir, stores.Directory{BaseURL: rulestest.Base, Registry: reg})
	}}
	_, failure, err := c.Run(t.Context(), compare.Draw{Seed: 1, Sequences: 5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if failure == nil {
		t.Fatal("no difference is found")
	}
	smallest, err := c.Shrink(t.Context(), *failure)
	if err != nil {
		t.Fatal(err)
	}
	if smallest.Together != 1 || len(smallest.Steps) > 3 || !strings.Contains(smallest.String(), fmt.Sprintf("x%d-", smallest.Sequence)) {
		t.Errorf("the failure is not small, or of another sequence: %v", smallest)
	}
	t.Log(smallest)
}
