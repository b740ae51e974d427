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

// generateDirectory is a directory as it would be if the loader changed nothing.
func generateDirectory(t testing.TB, r *rand.Rand) *Directory {
	t.Helper()
	zone, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDirectory(testBase, NewZone(zone))
	seen := map[string]bool{}
	batches := Generate(r, testBase)
	for n := len(batches) - 1; n >= 0; n-- { // the newest version of each
		for _, line := range batches[n] {
			name, gone := strings.CutPrefix(line, "-")
			if !gone {
				name = nameOf(t, line)
			}
			if seen[name] || gone {
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

// TestMixture: what is generated is rich enough, whatever the seed; queries print
// as texts that are read as the same query, unless they must be refused.
func TestMixture(t *testing.T) {
	seed := rand.Uint64()
	var mix Coverage
	for n := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, n))
		d := generateDirectory(t, r)
		for range 500 {
			q := d.RandomQuery(r)
			a, err := d.Find(q)
			mix.Add(q, a, err != nil)
			again, parsing := query.Parse(q.String())
			if parsing != nil || again.String() != q.String() {
				t.Fatalf("seed %d: %s is read as %s, %v", seed, q, again, parsing)
			}
			b, err2 := d.Find(again)
			if len(a.IDs) != len(b.IDs) || (err == nil) != (err2 == nil) {
				t.Fatalf("seed %d: %s finds %v, and read again %v; %v, %v", seed, q, a.IDs, b.IDs, err, err2)
			}
		}
	}
	t.Logf("seed %d: %s", seed, &mix)
	if poor := mix.Gap(); poor != "" {
		t.Errorf("seed %d: %s\n%s", seed, poor, &mix)
	}
}

func BenchmarkFind(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	d := generateDirectory(b, r)
	for b.Loop() {
		_, _ = d.Find(d.RandomQuery(r))
	}
}
