package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/storetest"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
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

func TestRegistry(t *testing.T) {
	storetest.Registry(t, func(t *testing.T) (one, other store.Registry) {
		path := filepath.Join(t.TempDir(), "jobs.db")
		return newJobs(t, path), newJobs(t, path)
	})
}

func TestDamagedClient(t *testing.T) {
	j := newJobs(t, filepath.Join(t.TempDir(), "jobs.db"))
	storetest.DamagedClient(t, j, func(statement string) {
		if _, err := j.writer.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	})
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

// steps are the steps of an export with one part, at times that are a lease apart, and the states
// after them.
var steps = []struct {
	do    func(ctx context.Context, j *jobsDB, now fhir.Instant) error
	after store.State
}{
	{func(ctx context.Context, j *jobsDB, now fhir.Instant) error {
		return j.CreateJob(ctx, store.Job{ID: "one", Owner: "anna", Request: []byte("{}"), Created: now}, 0)
	}, store.Accepted},
	{func(ctx context.Context, j *jobsDB, now fhir.Instant) error {
		task, err := j.Claim(ctx, "w", now, 10, store.Bounds{})
		if err != nil {
			return err
		}
		return j.BeginSelecting(ctx, task, now, now)
	}, store.Selecting},
	{func(ctx context.Context, j *jobsDB, now fhir.Instant) error {
		task, err := j.Claim(ctx, "w", now, 10, store.Bounds{})
		if err != nil {
			return err
		}
		keys := roaring64.BitmapOf(1, 2)
		return j.StoreSelection(ctx, task, []store.Selection{{Type: fhir.Location, Keys: keys}}, []store.Part{{Number: 1, File: "file", Type: fhir.Location, First: 1, Last: 2, Count: 2, Bytes: 20}}, now, now+1000)
	}, store.Writing},
	{func(ctx context.Context, j *jobsDB, now fhir.Instant) error {
		task, err := j.Claim(ctx, "w", now, 10, store.Bounds{})
		if err != nil {
			return err
		}
		_, err = j.FinishPart(ctx, task, "one/1-1", store.Stored{Count: 2, Bytes: 20}, now, now+1000)
		return err
	}, store.Complete},
}

// TestPowerCut runs an export and cuts the log after each commit, as a power cut does that loses
// what was not synced. The export is then where it was before, and becomes complete.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "jobs.db")
	j := newJobs(t, path)
	var cuts []int64
	for n, step := range steps {
		if err := step.do(t.Context(), j, fhir.Instant(100*(n+1))); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, info.Size())
	}
	for n, cut := range cuts {
		copied := filepath.Join(t.TempDir(), "jobs.db")
		for _, suffix := range []string{"", "-wal"} {
			text, err := os.ReadFile(path + suffix)
			if err == nil && suffix != "" {
				text = text[:cut]
			}
			if err == nil {
				err = os.WriteFile(copied+suffix, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		after := newJobs(t, copied)
		for m, step := range steps[n:] {
			if m > 0 {
				if err := step.do(t.Context(), after, fhir.Instant(1000*(m+1))); err != nil {
					t.Fatalf("cut after step %d, step %d: %v", n, n+m, err)
				}
			}
			if job, err := after.Job(t.Context(), "one"); err != nil || job.State != step.after {
				t.Errorf("cut after step %d, after step %d: %s, %v; want %s", n, n+m, job.State, err, step.after)
			}
		}
	}
}

// TestSyncedChanges checks that what a client may rely on is synced: only progress uses the
// connection whose commits do not wait for the disk.
func TestSyncedChanges(t *testing.T) {
	j := newJobs(t, filepath.Join(t.TempDir(), "jobs.db"))
	for n, step := range steps[:3] {
		if err := step.do(t.Context(), j, fhir.Instant(100*(n+1))); err != nil {
			t.Fatal(err)
		}
	}
	task, err := j.Claim(t.Context(), "w", 1000, 10, store.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	for want, db := range map[string]*sql.DB{"2": j.writer, "1": j.relaxed} { // FULL and NORMAL
		var level string
		if err := db.QueryRow(`PRAGMA synchronous`).Scan(&level); err != nil || level != want {
			t.Errorf("synchronous is %s, %v; want %s", level, err, want)
		}
	}
	_ = j.relaxed.Close()
	if err := j.CreateJob(t.Context(), store.Job{ID: "two", Owner: "anna", Request: []byte("{}"), Created: 1000}, 0); err != nil {
		t.Errorf("a new job is not synced: %v", err)
	}
	if err := j.Renew(t.Context(), task, 1000, 10, 1); err == nil {
		t.Error("a heartbeat is synced")
	}
	if _, err := j.FinishPart(t.Context(), task, "one/1-1", store.Stored{Count: 2, Bytes: 20}, 1000, 2000); err != nil {
		t.Errorf("a part that is finished is not synced: %v", err)
	}
	if err := j.Cancel(t.Context(), "one", "anna", 1000, 2000); err != nil {
		t.Errorf("a deletion is not synced: %v", err)
	}
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
