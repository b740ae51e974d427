package job

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

// TestSlices checks which slice follows how long a selection has run.
func TestSlices(t *testing.T) {
	for _, c := range []struct {
		ran, want time.Duration
	}{
		{0, 60 * time.Millisecond},
		{59 * time.Millisecond, 60 * time.Millisecond}, // interrupted before its end
		{60 * time.Millisecond, 250 * time.Millisecond},
		{310 * time.Millisecond, time.Second},
		{1310 * time.Millisecond, 4 * time.Second},
		{5310 * time.Millisecond, 16 * time.Second},
		{21310 * time.Millisecond, 64 * time.Second},
		{85309 * time.Millisecond, 64 * time.Second},
		{85310 * time.Millisecond, 0},
	} {
		if got, ok := DefaultSlices.Next(c.ran); got != c.want || ok != (c.want > 0) {
			t.Errorf("after %v: slice %v, %t; want %v", c.ran, got, ok, c.want)
		}
	}
}

// TestSliceEndIsNoAttempt ends more slices than there are attempts.
func TestSliceEndIsNoAttempt(t *testing.T) {
	f := newFake()
	calls := run(t, f, 6, Config{Work: func(_ context.Context, c *Claim) error {
		slice, ok := c.Slice()
		if total, again := c.After(slice); !ok || !again {
			return Permanent(slowTask{total})
		}
		return SliceEnd{slice}
	}})
	want(t, calls, "slice ended after 60 ms", "slice ended after 250 ms", "slice ended after 1000 ms", "slice ended after 4000 ms",
		"slice ended after 16000 ms", "failed: after 1m25.31s. Please start the export again when this has been fixed.")
}

type slowTask struct{ ran time.Duration }

func (s slowTask) Error() string  { return "slow" }
func (s slowTask) Reason() string { return "after " + s.ran.String() + "." }

// endless is a queue of tasks that never end until the test ends.
type endless struct {
	*fake
	mu      sync.Mutex
	claimed []string // long, short or quick
	reached chan struct{}
}

func (q *endless) Claim(_ context.Context, worker string, _ fhir.Instant, _ int64, within store.Bounds) (*store.Task, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kind, task := "long", &store.Task{Worker: worker, Job: store.Job{ID: worker, Selected: 1310}, Attempt: 1}
	switch {
	case within.PartBytes > 0:
		kind, task.Job.Selected = "quick", within.Selected-1
	case within.Selected > 0:
		kind, task.Job.Selected = "short", within.Selected-1
	}
	q.claimed = append(q.claimed, kind)
	q.reached <- struct{}{}
	return task, nil
}

// TestLongSlicesLeaveWorkers checks that long slices occupy all workers but one, or one if
// there is no other, and that one more worker claims quick tasks only.
func TestLongSlicesLeaveWorkers(t *testing.T) {
	for _, c := range []struct {
		workers int
		want    []string
	}{
		{1, []string{"long", "quick"}},
		{2, []string{"long", "quick", "short"}},
		{4, []string{"long", "long", "long", "quick", "short"}},
	} {
		q := &endless{fake: newFake(), reached: make(chan struct{}, 100)}
		ctx, stop := context.WithCancel(t.Context())
		e := New(Config{Jobs: q, Workers: c.workers, Tick: time.Millisecond, Work: func(ctx context.Context, claim *Claim) error {
			if slice, _ := claim.Slice(); slice >= longSlice != (claim.Task.Job.Selected >= 1310) {
				t.Errorf("slice %v of %+v", slice, claim.Task.Job)
			}
			<-ctx.Done()
			return ctx.Err()
		}})
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		for range c.want {
			select {
			case <-q.reached:
			case <-time.After(30 * time.Second):
				t.Fatal("too few claims")
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		slices.Sort(q.claimed)
		if !slices.Equal(q.claimed, c.want) {
			t.Errorf("%d workers claimed %q, want %q", c.workers, q.claimed, c.want)
		}
	}
}
