package export

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestLateWorker blocks a worker and its heartbeat until its lease has expired and
// another worker of the process has done the work. The late worker then continues, and
// nothing of what it does is visible (D7).
func TestLateWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: interrupts a worker after each of its steps")
	}
	onBothDatabases(t, testLateWorker)
}

func testLateWorker(t *testing.T, onPostgres bool) {
	// No point inside the gate: a worker that blocks there blocks all writers of the directory.
	for _, point := range []string{"export.selecting", "export.selected",
		"blob.created", "export.part.page", "export.part.written", "export.part.committed"} {
		t.Run(point, func(t *testing.T) {
			b := newFixtureOn(t, onPostgres, func(c *Config) { c.Workers, c.engine.Slices = 2, noSlices })
			b.fill(30)
			late, back := &lateStore{Store: b.Config.Store, beats: make(chan struct{})}, make(chan struct{})
			b.Config.Store = late
			b.Service = New(b.Config)
			ended := make(chan error, 1)
			work := b.engine.Work
			b.engine.Work = func(ctx context.Context, c *job.Claim) error {
				err := work(context.WithValue(ctx, taskKey{}, c.Task), c)
				if late.hung.Load() == c.Task {
					close(late.beats)
					ended <- err
				}
				return err
			}
			hangs := make(chan struct{})
			var passed atomic.Bool
			disarm := failpoint.Arm(point, func(ctx context.Context) error {
				if !passed.Swap(true) {
					late.hung.Store(ctx.Value(taskKey{}).(*store.Task))
					close(hangs)
					<-back
				}
				return nil
			})
			defer disarm()
			start(t, b.Service)
			id := b.kickOff("Location", "Practitioner")
			select {
			case <-hangs:
			case <-time.After(30 * time.Second):
				t.Fatal("the point was not reached")
			}
			b.clock.Add(time.Minute) // past the lease of the blocked worker
			if status := b.wait(b.Service, id); status.State != store.Complete {
				t.Fatalf("status %+v", status)
			}
			before, err := b.Poll(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			want := b.download(id)

			close(back)
			if err := <-ended; !errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("the late worker ended with %v, want that its lease was lost", err)
			}
			after, err := b.Poll(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(before.Manifest), string(after.Manifest)); diff != "" {
				t.Errorf("manifest (-before +after the late worker):\n%s", diff)
			}
			if diff := cmp.Diff(want, b.download(id)); diff != "" {
				t.Errorf("files (-before +after the late worker):\n%s", diff)
			}
			if names := b.blobs(); len(names) != len(want) {
				t.Errorf("%d files remain of %d parts: %q", len(names), len(want), names)
			}
		})
	}
}

// taskKey is the context key of the task.
type taskKey struct{}

// lateStore blocks the heartbeats of the blocked work until it has ended, so that no
// heartbeat reports the lost lease to it.
type lateStore struct {
	store.Store
	hung  atomic.Pointer[store.Task]
	beats chan struct{}
}

func (l *lateStore) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease, found int64) error {
	if l.hung.Load() == t {
		<-l.beats
	}
	return l.Store.Renew(ctx, t, now, lease, found)
}
