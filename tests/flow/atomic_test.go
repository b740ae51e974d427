package flow

import (
	"strings"
	"testing"

	"muster/internal/failpoint"
)

// TestKilledAtomicLoad kills an atomic load before its commit and after it: nothing of it is found
// then, or all of it, although the roles of a hidden organisation are written in
// slices. The repeated load is complete.
func TestKilledAtomicLoad(t *testing.T) {
	onBothDatabases(t, testKilledAtomicLoad)
}

func testKilledAtomicLoad(t *testing.T, newDeployment func(*testing.T) deployment) {
	before, after := practitioners(t, 900, "Before"), practitioners(t, 900, "After")
	visible, hidden := rolesOf(t, 600, true), rolesOf(t, 0, false)
	committed := map[string]bool{
		"load.written": true, "directory.apply.entered": false, "directory.apply.commit": false,
		"directory.apply.committed": true, "directory.cascade.commit": true, "directory.cascade.committed": true,
	}
	for _, point := range failpoint.All {
		done, passed := committed[point.Name]
		if !passed {
			continue
		}
		t.Run(point.Name, func(t *testing.T) {
			t.Parallel()
			p := newDeployment(t)
			p.load(t, before, visible)
			load := append(append([]string{"load"}, p.directory()...), "--atomic", hidden, after)
			loader, err := muster.Start(point.Name, load...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(loader.Kill)
			if err := loader.WaitKilled(); err != nil {
				t.Fatal(err)
			}
			check := func(done bool) {
				t.Helper()
				families, roles := map[string]string{"Before": "900 matches", "After": "0 matches"}, "600 matches"
				if done {
					families, roles = map[string]string{"Before": "0 matches", "After": "900 matches"}, "0 matches"
				}
				for family, want := range families {
					p.finds(t, "Practitioner?family="+family, want)
				}
				p.finds(t, "PractitionerRole?_lastUpdated=ge1900-01-01", roles)
			}
			check(done)
			if out, err := muster.Run(load...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			check(true)
			p.verify(t)
		})
	}
}

// finds checks how many matches a search on the command line counts.
func (p deployment) finds(t *testing.T, query, want string) {
	t.Helper()
	out, err := muster.Run(append([]string{"search", "--count", "0", query}, p.directory()...)...)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out); got != want {
		t.Errorf("%s finds %s, want %s", query, got, want)
	}
}
