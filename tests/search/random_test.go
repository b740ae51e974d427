package search

import (
	"math/rand/v2"
	"testing"

	"muster/internal/conformance"
)

// cases is the number of queries for each database: a fiftieth of what bench/soak/search
// compares, and half of that for a database in another process.
var cases = map[string]int{"sqlite": 2000, "postgres": 1000}

// minForCoverage is the number of queries that have enough coverage with any seed.
const minForCoverage = 2000

// TestEngineEqualsEvaluator checks that the engine finds what the reference evaluator
// finds, as an export, a search and a delta, for random queries of random directories.
func TestEngineEqualsEvaluator(t *testing.T) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Attr("requirements", "SR-03 SR-04 SR-05 SR-10 SR-23 SR-30 SR-32 SR-40 SR-41 SR-42 SR-43 SR-44 SR-45 SR-46 SR-50 SR-52 SR-53 TR-07 VI-01 VI-03 VI-04 VI-06 VI-07 VI-09 VI-10 VI-11 VI-12 VI-14 VI-15 VI-16")
			t.Parallel()
			seed := rand.Uint64()
			c := open(t, reg)
			coverage, failure, err := c.Run(t.Context(), seed, cases[name], nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if failure != nil {
				smallest, err := c.Shrink(t.Context(), *failure)
				t.Fatalf("%v\n%v", smallest, err)
			}
			t.Logf("seed %d: %s", seed, &coverage)
			if gap := coverage.Gap(); gap != "" && cases[name] >= minForCoverage {
				t.Errorf("seed %d: insufficient coverage: %s\n%s", seed, gap, &coverage)
			}
		})
	}
}
