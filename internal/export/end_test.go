package export

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/blob"
	"muster/internal/client"
	"muster/internal/failpoint"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestTooManyJobs checks that a client cannot exceed its limit of live jobs, and does not
// affect other clients (KO-52).
func TestTooManyJobs(t *testing.T) {
	t.Attr("req", "KO-52")
	b := newFixture(t, func(c *Config) { c.JobsPerPrincipal = 2 })
	one := client.With(t.Context(), client.Client{Name: "one"})
	kickOff := func(ctx context.Context) (string, error) { return b.KickOff(ctx, b.request(nil, "Practitioner")) }
	first, err := kickOff(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kickOff(one); err != nil {
		t.Fatal(err)
	}
	_, err = kickOff(one)
	var tooMany TooManyJobs
	if !errors.As(err, &tooMany) || !errors.Is(err, store.ErrTooManyJobs) || tooMany.RetryAfter < 1 {
		t.Errorf("a third job: error %v", err)
	}
	other := client.With(t.Context(), client.Client{Name: "other"})
	if _, err := kickOff(other); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := b.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := kickOff(one); err != nil {
		t.Errorf("after a cancel: %v", err)
	}
}

// TestCancelWhileWriting checks that a cancelled export disappears at once: its files,
// its status, its workers. A late worker restores none of them (DE-01, DE-03).
func TestCancelWhileWriting(t *testing.T) {
	t.Attr("req", "DE-01 DE-03 PO-09")
	for _, point := range []string{"export.selecting", "export.selected", "export.part.page", "export.part.written", "export.part.committed"} {
		t.Run(point, func(t *testing.T) {
			b := newFixture(t, func(c *Config) { c.engine.Slices = noSlices })
			b.fill(30)
			reached, stopped := make(chan struct{}), make(chan struct{})
			var passed atomic.Int32
			nth := int32(1)
			if strings.HasPrefix(point, "export.part") {
				nth = 3 // some parts are already written
			}
			disarm := failpoint.Arm(point, func(ctx context.Context) error {
				if passed.Add(1) != nth {
					return nil
				}
				close(reached)
				<-ctx.Done() // the worker blocks until it is cancelled
				if !errors.Is(context.Cause(ctx), store.ErrCancelled) {
					t.Errorf("the worker was stopped by %v", context.Cause(ctx))
				}
				close(stopped)
				return nil // and continues nevertheless
			})
			defer disarm()
			stop := start(t, b.Service)
			id := b.kickOff("Practitioner", "Location")
			<-reached
			if err := b.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Poll(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("poll after cancel: %v", err)
			}
			select {
			case <-stopped:
			case <-time.After(30 * time.Second):
				t.Error("the worker was not cancelled")
			}
			stop()
			if err := b.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if names := b.blobs(); len(names) != 0 {
				t.Errorf("files after cancel: %q", names)
			}
			if err := b.Cancel(t.Context(), id); !errors.Is(err, ErrAlreadyDeleted) {
				t.Errorf("a second cancel: %v", err)
			}
			if times, err := b.jobs.Job(t.Context(), id); err != nil || times.State != store.Cancelled {
				t.Errorf("the job is %s, %v", times.State, err)
			}
		})
	}
}

// TestCancelWhenComplete checks that a complete export can be deleted, and that an open
// file can still be read (DE-05, RE-12).
func TestCancelWhenComplete(t *testing.T) {
	t.Attr("req", "DE-05 RE-12")
	b := newFixture(t, nil)
	b.fill(30)
	start(t, b.Service)
	id := b.kickOff("Practitioner")
	b.wait(b.Service, id)
	want := b.download(id)
	parts, err := b.jobs.Parts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	open, err := b.OpenFile(t.Context(), parts[0].File)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	removed := make(chan struct{}, 1)
	defer failpoint.Arm("export.deleted", func(context.Context) error { removed <- struct{}{}; return nil })()
	if err := b.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	<-removed
	if names := b.blobs(); len(names) != 0 {
		t.Errorf("files after cancel: %q", names)
	}
	if _, err := b.OpenFile(t.Context(), parts[0].File); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("opening a file after cancel: %v", err)
	}
	identity, err := open.Identity()
	if err != nil {
		t.Fatal(err)
	}
	defer identity.Close()
	if diff := cmp.Diff(want[0], readAll(t, identity)); diff != "" {
		t.Error(diff)
	}
}

// TestPersistentErrors checks that a persistent error fails the job after three attempts,
// with a reason that reveals no internals, and that its files are removed (PO-11).
func TestPersistentErrors(t *testing.T) {
	t.Attr("req", "PO-11")
	for _, point := range []string{"export.selecting", "export.part.page", "export.part.committed"} {
		t.Run(point, func(t *testing.T) {
			b := newFixture(t, nil)
			b.fill(5)
			var passed atomic.Int32
			defer failpoint.Arm(point, func(context.Context) error {
				passed.Add(1)
				return errors.New("secret cause")
			})()
			start(t, b.Service)
			id := b.kickOff("Practitioner")
			status := b.wait(b.Service, id)
			if status.State != store.Failed || strings.Contains(status.Reason, "secret") || !strings.Contains(status.Reason, "3 attempts") {
				t.Errorf("status %+v", status)
			}
			if n := passed.Load(); n != 3 {
				t.Errorf("%d attempts", n)
			}
			if err := b.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if names := b.blobs(); len(names) != 0 {
				t.Errorf("files of a failed job: %q", names)
			}
		})
	}
}

// TestJanitor checks that the janitor removes files that no row names, and no others.
func TestJanitor(t *testing.T) {
	t.Attr("req", "RE-09")
	b := newFixture(t, nil)
	b.useModTimes()
	b.fill(30)
	stop := start(t, b.Service)
	complete := b.kickOff("Practitioner")
	b.wait(b.Service, complete)
	stop()
	live := b.kickOff("Practitioner")
	kept := b.blobs()
	for _, name := range []string{live + "/1-1.ndjson.gz", complete + "/1-99.ndjson.gz"} {
		b.put(name, 0)
	}
	b.put(unknownJob("a")+"/1-1.ndjson.gz", 2*time.Hour)
	sweep := func(want ...string) {
		t.Helper()
		if err := b.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, name := range b.blobs() {
			got[name] = true
		}
		wanted := map[string]bool{}
		for _, name := range want {
			wanted[name] = true
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("files after the janitor (-want +got):\n%s", diff)
		}
	}
	sweep(append(kept, live+"/1-1.ndjson.gz")...)
	b.clock.Add(24*time.Hour - time.Second)
	sweep(append(kept, live+"/1-1.ndjson.gz")...)
	b.clock.Add(time.Second)
	sweep(live + "/1-1.ndjson.gz") // RE-09: the retention is over
	if job, err := b.jobs.Job(t.Context(), complete); err != nil || job.State != store.Expired {
		t.Errorf("job %+v, %v", job, err)
	}
	b.clock.Add(7*24*time.Hour + time.Second)
	sweep(live + "/1-1.ndjson.gz")
	if _, err := b.jobs.Job(t.Context(), complete); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a forgotten job: %v", err)
	}
}

// countingBlobs counts the calls of a store of files.
type countingBlobs struct {
	blob.Store
	calls atomic.Int32
}

func (c *countingBlobs) List(ctx context.Context, yield func(string, time.Time) error) error {
	c.calls.Add(1)
	return c.Store.List(ctx, yield)
}

func (c *countingBlobs) Remove(ctx context.Context, name string) error {
	c.calls.Add(1)
	return c.Store.Remove(ctx, name)
}

// TestCostOfDelete deletes exports with several files. The DELETE itself does not touch the
// folder, and the files of all of them cannot be opened from then on; their removal looks at
// the folder once.
func TestCostOfDelete(t *testing.T) {
	t.Attr("req", "DE-03 DE-05")
	counted := &countingBlobs{}
	b := newFixture(t, func(c *Config) { counted.Store, c.Blobs, c.PartBytes = c.Blobs, counted, 1000 })
	b.fill(30)
	stop := start(t, b.Service)
	var jobs, files []string
	for range 3 {
		id := b.kickOff("Practitioner")
		b.wait(b.Service, id)
		parts, err := b.jobs.Parts(t.Context(), id)
		if err != nil || len(parts) < 2 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		jobs = append(jobs, id)
		for _, p := range parts {
			files = append(files, p.File)
		}
	}
	stop()
	counted.calls.Store(0)
	for _, id := range jobs {
		if err := b.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := counted.calls.Load(); n != 0 || len(b.blobs()) == 0 {
		t.Errorf("the deletion made %d calls to the folder", n)
	}
	for _, file := range files {
		if _, err := b.OpenFile(t.Context(), file); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a file of a deleted export: %v", err)
		}
	}
	counted.calls.Store(0)
	if err := b.removeFilesOf(t.Context(), b.deleted.take()); err != nil {
		t.Fatal(err)
	}
	if n := counted.calls.Load(); int(n) != 1+len(files) || len(b.blobs()) != 0 {
		t.Errorf("the removal of %d files made %d calls and left %q", len(files), n, b.blobs())
	}
}
