package searchtest

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"muster/internal/search/query"
)

const testBase = "http://directory.example/fhir"

// generateDirectory returns a generated directory with the current version of each
// resource.
func generateDirectory(t testing.TB, r *rand.Rand) *Directory {
	t.Helper()
	zone, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDirectory(testBase, NewZone(zone))
	seen := map[string]bool{}
	batches := Generate(r, testBase)
	for n := len(batches) - 1; n >= 0; n-- { // newest first
		for _, line := range batches[n] {
			name, removed := strings.CutPrefix(line, "-")
			if !removed {
				name = nameOf(t, line)
			}
			if seen[name] || removed {
				seen[name] = true
				continue
			}
			seen[name] = true
			if err := d.Add([]byte(line), n+1); err != nil {
				t.Fatalf("%v\n%s", err, line)
			}
		}
	}
	return d
}

func nameOf(t testing.TB, line string) string {
	t.Helper()
	var r struct{ ResourceType, ID string }
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	return r.ResourceType + "/" + r.ID
}

// TestGeneratedQueries checks that generated queries have enough coverage with any seed,
// and that the text of each query parses to an equivalent query.
func TestGeneratedQueries(t *testing.T) {
	seed := rand.Uint64()
	var coverage Coverage
	for n := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, n))
		d := generateDirectory(t, r)
		for range 500 {
			q := d.RandomQuery(r)
			a, err := d.Find(q)
			coverage.Add(q, a, err != nil)
			parsed, parseErr := query.Parse(q.String())
			if parseErr != nil || parsed.String() != q.String() {
				t.Fatalf("seed %d: %s parses to %s, %v", seed, q, parsed, parseErr)
			}
			b, err2 := d.Find(parsed)
			if len(a.IDs) != len(b.IDs) || (err == nil) != (err2 == nil) {
				t.Fatalf("seed %d: %s finds %v, the parsed query finds %v; %v, %v", seed, q, a.IDs, b.IDs, err, err2)
			}
		}
	}
	t.Logf("seed %d: %s", seed, &coverage)
	if gap := coverage.Gap(); gap != "" {
		t.Errorf("seed %d: %s\n%s", seed, gap, &coverage)
	}
}

func BenchmarkFind(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	d := generateDirectory(b, r)
	for b.Loop() {
		_, _ = d.Find(d.RandomQuery(r))
	}
}
