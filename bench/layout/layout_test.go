package main

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLayoutsAgree loads, extends and updates a small directory in every layout and asks every shape: measuring layouts that
// answer differently would be worth nothing.
func TestLayoutsAgree(t *testing.T) {
	want := answers(t, "a", true)
	for _, shape := range shapes {
		if len(want[shape.name]) == 0 {
			t.Errorf("%s: no question finds anything", shape.name)
		}
	}
	for _, name := range []string{"as", "ad", "ap", "b"} {
		for _, after := range []bool{true, false} {
			if diff := cmp.Diff(want, answers(t, name, after)); diff != "" {
				t.Errorf("layout %s (index after rows: %v) differs from a:\n%s", name, after, diff)
			}
		}
	}
}

func answers(t *testing.T, name string, after bool) map[string][]int64 {
	t.Helper()
	g := newGenerator(1000)
	l, db, err := open(filepath.Join(t.TempDir(), "test.db"), name, "journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := execAll(db, append(slices.Clone(resourceDDL), resourceIndex)...); err != nil {
		t.Fatal(err)
	}
	if err := l.load(g, after); err != nil {
		t.Fatal(err)
	}
	if err := l.append([]row{g.make(role, g.count[role], 0), g.make(location, g.count[location], 0)}); err != nil {
		t.Fatal(err)
	}
	for seq := range 50 {
		// A row takes over all entries of another, so that every old entry must go.
		for _, typ := range []int{practitioner, role} {
			w := g.make(typ, seq+60, 1)
			w.key = rowKey(typ, seq)
			if err := l.update(w); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := map[string][]int64{}
	for _, s := range shapes {
		r := rand.New(rand.NewPCG(4, 4))
		for range 40 {
			q := s.ask(g, r)
			keys, err := l.page(q, 30)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			n, err := l.total(q, 31)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			if min(n, 30) != len(keys) {
				t.Errorf("%s, layout %s: total %d, page has %d", s.name, name, n, len(keys))
			}
			out[s.name] = append(out[s.name], keys...)
		}
	}
	return out
}
