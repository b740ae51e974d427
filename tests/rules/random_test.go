package rules

import (
	"flag"
	"math/rand/v2"
	"testing"

	"muster/internal/rulestest/compare"
)

var (
	sequences = flag.Int("sequences", 3, "number of random sequences on each database")
	seed      = flag.Uint64("seed", rand.Uint64N(1_000_000), "seed of the random sequences")
)

// TestRandomSequences compares random sequences of steps with the model, on both databases.
func TestRandomSequences(t *testing.T) {
	t.Attr("requirements", "VI-01 VI-02 VI-03 VI-04 VI-08 VI-09 VI-10 VI-12 VI-14 VI-16 SU-01 SU-03 SU-04 SU-05 SU-06 SU-07 SU-08 SU-10 SU-11")
	onEach(t, func(t *testing.T, c compare.Config) {
		t.Parallel()
		counts, failure, err := c.Run(t.Context(), *seed, *sequences, nil)
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
