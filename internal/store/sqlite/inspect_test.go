package sqlite

import (
	"testing"

	"muster/internal/store"
)

// TestServed checks that an inspection reports whether a server runs, and does not lock
// servers out.
func TestServed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, store.Options{Create: &store.Identity{Mode: "authoritative"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i, err := Inspect(t.Context(), dir, store.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	want := func(want bool) {
		t.Helper()
		if served, err := i.Served(t.Context()); err != nil || served != want {
			t.Errorf("served: %v, %v; want %v", served, err, want)
		}
	}
	want(false)
	lock, err := LockServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	want(true)
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	want(false)
	again, err := LockServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
