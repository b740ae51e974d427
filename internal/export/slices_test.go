package export

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/client"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// slowSelections makes the first n selections last until they are interrupted. before is
// called with the number of each, from 1, and may be nil.
func slowSelections(t *testing.T, n int32, before func(int32)) (passed *atomic.Int32) {
	t.Helper()
	passed = &atomic.Int32{}
	t.Cleanup(failpoint.Arm("export.selecting", func(ctx context.Context) error {
		hit := passed.Add(1)
		if hit > n {
			return nil
		}
		if before != nil {
			before(hit)
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	return passed
}

// noSlices is for tests that stop a selection at a failpoint.
var noSlices = job.Slices{time.Hour}

// shortSlices returns n slices.
func shortSlices(n int) (s job.Slices) {
	for range n {
		s = append(s, time.Millisecond)
	}
	return s
}

// TestSelectionIsBegunAgain interrupts a selection at the end of more slices than a job has
// attempts, while the directory changes. The export is the directory at the time of the last
// slice.
func TestSelectionIsBegunAgain(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		observed := newObserver()
		b := newFixtureOn(t, onPostgres, func(c *Config) { c.Observer, c.engine.Slices = observed, append(shortSlices(5), time.Minute) })
		b.fill(3)
		passed := slowSelections(t, 5, func(n int32) {
			b.apply(resource(fhir.Practitioner, fmt.Sprint("p", n+100), "later"))
		})
		start(t, b.Service)
		id := b.kickOff("Practitioner", "Location")
		if status := b.wait(b.Service, id); status.State != store.Complete || status.Total != 3+5+3 {
			t.Fatalf("status %+v", status)
		}
		if text := strings.Join(b.download(id), ""); strings.Count(text, "later") != 5 {
			t.Errorf("the export is not the directory at its transaction time:\n%s", text)
		}
		ended, err := b.jobs.Job(t.Context(), id)
		if err != nil || ended.Selected != 5 || passed.Load() != 6 {
			t.Errorf("%d selections, job %+v, %v", passed.Load(), ended, err)
		}
		if n := observed.all()["interrupted by slice"]; n != 5 {
			t.Errorf("%d interruptions were reported, want 5", n)
		}
	})
}

// TestSlowSelectionFails checks that a selection that uses up its last slice fails once, and
// that its client reads which filter to narrow, and how long it ran. A restart continues with
// the next slice.
func TestSlowSelectionFails(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		b := newFixtureOn(t, onPostgres, func(c *Config) { c.Workers, c.engine.Slices = 1, shortSlices(4) })
		b.fill(1)
		second := make(chan struct{})
		passed := slowSelections(t, 100, func(n int32) {
			if n == 2 {
				close(second)
			}
		})
		stop := start(t, b.Service)
		id := b.kickOff("Location", "Practitioner")
		select {
		case <-second:
		case <-time.After(30 * time.Second):
			t.Fatal("there was no second slice")
		}
		stop()
		before, err := b.jobs.Job(t.Context(), id)
		if err != nil || before.State != store.Selecting {
			t.Fatalf("job %+v, %v", before, err)
		}
		ran := passed.Load()
		b.Service = New(b.Config)
		start(t, b.Service)
		status := b.wait(b.Service, id)
		want := "The selection of Location was stopped, since it took too long: the export searched for 4ms in all. Narrow the _typeFilter of Location. Please start the export again when this has been fixed."
		if status.State != store.Failed || status.Reason != want {
			t.Errorf("status %+v, want the reason\n%s", status, want)
		}
		if got := passed.Load() - ran; int64(got) != 4-before.Selected {
			t.Errorf("%d selections after the restart, and %d ms before it", got, before.Selected)
		}
	})
}

// TestCancelBetweenSlices cancels an export whose selection waits for its next slice.
func TestCancelBetweenSlices(t *testing.T) {
	b := newFixture(t, func(c *Config) { c.Workers, c.engine.Slices = 1, shortSlices(4) })
	b.fill(1)
	var id string
	stopped := make(chan struct{})
	b.engine.Jobs = endingJobs{b.Config.Store, func() {
		if err := b.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
		close(stopped)
	}}
	passed := slowSelections(t, 100, nil)
	id = b.kickOff("Location")
	stop := start(t, b.Service)
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		t.Fatal("no slice ended")
	}
	stop()
	if _, err := b.Poll(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("poll after cancel: %v", err)
	}
	if n := passed.Load(); n != 1 {
		t.Errorf("%d selections of a cancelled export", n)
	}
}

// slowCounts is a store that calls count before it compares the numbers of rows.
type slowCounts struct {
	store.Store
	count func(ctx context.Context) error
}

type slowCountsSnapshot struct {
	store.Snapshot
	count func(ctx context.Context) error
}

func (s slowCounts) OpenSnapshot(ctx context.Context, pin func(context.Context, fhir.Instant) error) (store.Snapshot, error) {
	snapshot, err := s.Store.OpenSnapshot(ctx, pin)
	return slowCountsSnapshot{snapshot, s.count}, err
}

func (s slowCountsSnapshot) CheckCounts(ctx context.Context, p plan.Plan) error {
	if err := s.count(ctx); err != nil {
		return err
	}
	return s.Snapshot.CheckCounts(ctx, p)
}

// TestCountsUseNoSlice lets the comparison of the numbers of rows take longer than the slice of the
// selection. The slice begins after it.
func TestCountsUseNoSlice(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		const slice = 10 * time.Millisecond
		counted := atomic.Int32{}
		b := newFixtureOn(t, onPostgres, func(c *Config) {
			c.engine.Slices = job.Slices{slice, time.Minute}
			c.Store = slowCounts{c.Store, func(ctx context.Context) error {
				counted.Add(1)
				select {
				case <-ctx.Done():
					t.Errorf("the count was interrupted: %v", context.Cause(ctx))
				case <-time.After(4 * slice):
				}
				return nil
			}}
		})
		b.fill(2)
		start(t, b.Service)
		if status := b.wait(b.Service, b.kickOff("Practitioner", "Location")); status.State != store.Complete || status.Total != 4 {
			t.Errorf("status %+v", status)
		}
		if n := counted.Load(); n != 2 && n != 4 { // twice that of each plan on a slow machine
			t.Errorf("%d comparisons, want one for each plan", n)
		}
	})
}

// endingJobs calls ended when a slice has ended.
type endingJobs struct {
	store.JobQueue
	ended func()
}

func (j endingJobs) EndSlice(ctx context.Context, t *store.Task, ran int64, now fhir.Instant) error {
	err := j.JobQueue.EndSlice(ctx, t, ran, now)
	j.ended()
	return err
}

// TestSlowClientsDoNotDelayOthers runs slow exports of many clients on two servers. An export
// of a client that has none is next, whatever waits.
func TestSlowClientsDoNotDelayOthers(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		const attackers, jobs = 8, 5
		b := newFixtureOn(t, onPostgres, func(c *Config) {
			for range 1000 {
				c.engine.Slices = append(c.engine.Slices, 20*time.Millisecond)
			}
		})
		b.fill(1)
		var mu sync.Mutex
		var claimed []string // clients whose selections began
		all := make(chan struct{}, 10_000)
		work := func(s *Service) {
			inner := s.engine.Work
			s.engine.Work = func(ctx context.Context, c *job.Claim) error {
				return inner(context.WithValue(ctx, taskKey{}, c.Task), c)
			}
		}
		second := New(b.Config)
		work(b.Service)
		work(second)
		t.Cleanup(failpoint.Arm("export.selecting", func(ctx context.Context) error {
			task := ctx.Value(taskKey{}).(*store.Task)
			mu.Lock()
			claimed = append(claimed, task.Job.Client.Name)
			mu.Unlock()
			all <- struct{}{}
			if task.Job.Client.Name == "honest" {
				return nil
			}
			b.clock.Add(10 * time.Millisecond)
			<-ctx.Done()
			return context.Cause(ctx)
		}))
		for n := range attackers * jobs {
			ctx := client.With(t.Context(), client.Client{Name: fmt.Sprint("attacker ", n%attackers)})
			if _, err := b.KickOff(ctx, b.request(nil, "Location")); err != nil {
				t.Fatal(err)
			}
		}
		start(t, b.Service)
		start(t, second)
		for range 2 * attackers {
			select {
			case <-all:
			case <-time.After(30 * time.Second):
				t.Fatal("the exports do not begin")
			}
		}
		mu.Lock()
		before := len(claimed)
		mu.Unlock()
		id, err := b.KickOff(client.With(t.Context(), client.Client{Name: "honest"}), b.request(nil, "Practitioner"))
		if err != nil {
			t.Fatal(err)
		}
		if status := b.wait(b.Service, id); status.State != store.Complete {
			t.Fatalf("status %+v", status)
		}
		mu.Lock()
		defer mu.Unlock()
		others := 0
		for _, name := range claimed[before:] {
			if name == "honest" {
				break
			}
			others++
		}
		// The six workers of both servers may each have begun another selection before the
		// kick-off was stored, and PostgreSQL may decide about several at once.
		if others > 12 {
			t.Errorf("%d selections began before that of a client without work: %q", others, claimed[before:])
		}
	})
}
