package postgres

import (
	"testing"

	"muster/internal/store"
	"muster/internal/testkit/pgtest"
)

// TestServed checks that an inspection reports whether a server runs, and does not lock
// servers out.
func TestServed(t *testing.T) {
	url := pgtest.Database(t)
	s, err := Open(t.Context(), url, store.Options{Create: &store.Identity{Mode: "authoritative"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i, err := Inspect(t.Context(), url, store.Identity{})
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
	mark, err := s.MarkServed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(true)
	second, err := s.MarkServed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := mark.Close(); err != nil {
		t.Error(err)
	}
	want(true)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	want(false)
}
