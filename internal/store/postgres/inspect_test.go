package postgres

import (
	"strings"
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

// TestPageChecksums checks that a server without page checksums is reported, by a check and at the
// start of a server.
func TestPageChecksums(t *testing.T) {
	where := pgtest.Database(t)
	s := openTest(t, where, nil)
	var setting string
	if err := s.exports.QueryRow(t.Context(), `SHOW data_checksums`).Scan(&setting); err != nil {
		t.Fatal(err)
	}
	gaps, err := s.Unprotected(t.Context())
	if err != nil || len(gaps) > 0 != (setting == "off") {
		t.Errorf("data_checksums is %s, and the gaps are %v, %v", setting, gaps, err)
	}
	i, err := Inspect(t.Context(), where, store.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	reported := false
	err = i.Integrity(t.Context(), false, func(p store.IntegrityProblem) error {
		reported = reported || p.Skipped && strings.Contains(p.Problem, "data_checksums")
		return nil
	})
	if err != nil || reported != (setting == "off") {
		t.Errorf("data_checksums is %s; reported by the check: %v, %v", setting, reported, err)
	}
}
