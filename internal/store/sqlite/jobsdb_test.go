package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/storetest"
)

func newJobs(t *testing.T, path string) *jobsDB {
	t.Helper()
	j, err := openJobs(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func TestJobs(t *testing.T) {
	storetest.Jobs(t, func(t *testing.T) store.Jobs { return newJobs(t, filepath.Join(t.TempDir(), "jobs.db")) })
}

func TestLiveTimes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a folder with % and ?")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "jobs.db")
	j, other := newJobs(t, path), newJobs(t, path) // as another process
	want := func(times ...fhir.Instant) {
		t.Helper()
		got, err := other.LiveTimes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, times) {
			t.Errorf("live times %v, want %v", got, times)
		}
	}
	want()
	for n, id := range []string{"one", "two"} {
		if err := j.CreateJob(t.Context(), store.Job{ID: id, Owner: "anna", Request: []byte("{}"), Created: fhir.Instant(n)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	want() // an accepted job has no T
	for n := range 2 {
		task, err := j.Claim(t.Context(), "w", 10, 1000, store.Bounds{})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.BeginSelecting(t.Context(), task, fhir.Instant(50+n), 10); err != nil {
			t.Fatal(err)
		}
	}
	want(50, 51)
	if err := j.Cancel(t.Context(), "one", "anna", 10, 20); err != nil {
		t.Fatal(err)
	}
	want(51)
}

func TestNewerJobStoreIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	j := newJobs(t, path)
	if _, err := j.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := openJobs(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer muster") {
		t.Errorf("a newer job store: error %v", err)
	}
}

// TestEndClaims ends the claims of a server that died before their leases end. The fence locks
// out the dead server, and its attempt counts.
func TestEndClaims(t *testing.T) {
	j := newJobs(t, filepath.Join(t.TempDir(), "jobs.db"))
	if err := j.CreateJob(t.Context(), store.Job{ID: "one", Owner: "anna", Request: []byte("{}")}, 0); err != nil {
		t.Fatal(err)
	}
	dead, err := j.Claim(t.Context(), "dead", 10, 1_000_000, store.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := j.EndClaims(t.Context()); n != 1 || err != nil {
		t.Errorf("%d claims ended, %v; want 1", n, err)
	}
	next, err := j.Claim(t.Context(), "next", 11, 1000, store.Bounds{})
	if err != nil || next == nil {
		t.Fatalf("after the end of the claims: task %v, %v", next, err)
	}
	if next.Attempt != 2 || next.Fence <= dead.Fence {
		t.Errorf("attempt %d with fence %d after fence %d", next.Attempt, next.Fence, dead.Fence)
	}
	if err := j.Renew(t.Context(), dead, 12, 1000, 0); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("the dead server renews its claim: %v", err)
	}
	if n, err := j.EndClaims(t.Context()); n != 1 || err != nil {
		t.Errorf("%d claims ended, %v; want 1", n, err)
	}
	if n, err := j.EndClaims(t.Context()); n != 0 || err != nil {
		t.Errorf("%d claims ended where none was held, %v", n, err)
	}
}
