package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a job queue with one task. It records what the engine reports about the task,
// and answers heartheartbeats as the test says.
type fake struct {
	mu       sync.Mutex
	free     bool
	attempt  int
	selected int64 // ms
	stalled  []store.Job
	renew    func(found int64) error
	retried  bool  // a claim that was released without a failure is free again
	current  int64 // claims before this one are lost
	calls    []string
	called   chan struct{} // one token for each call
}

func newFake() *fake { return &fake{free: true, called: make(chan struct{}, 1000)} }

func (f *fake) record(call string) {
	f.calls = append(f.calls, call)
	f.called <- struct{}{}
}

func (f *fake) Claim(_ context.Context, worker string, _ fhir.Instant, _ int64, within store.Bounds) (*store.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.free || within != (store.Bounds{}) {
		return nil, nil
	}
	f.free = false
	f.attempt++
	return &store.Task{Job: store.Job{ID: "job", Selected: f.selected}, Worker: worker, Fence: int64(f.attempt), Attempt: f.attempt}, nil
}

func (f *fake) Renew(_ context.Context, t *store.Task, _ fhir.Instant, _, found int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.Fence < f.current {
		return store.ErrLeaseLost
	}
	if f.renew == nil {
		return nil
	}
	return f.renew(found)
}

func (f *fake) Release(_ context.Context, _ *store.Task, _ fhir.Instant, failed bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := "stopped"
	if failed {
		call, f.free = "failed attempt", true
	} else {
		f.attempt-- // as the store
		f.free = f.retried
	}
	f.record(call)
	return nil
}

func (f *fake) EndSlice(_ context.Context, t *store.Task, ran int64, _ fhir.Instant) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.selected += ran
	f.free = true
	f.attempt--
	f.record(fmt.Sprintf("slice ended after %d ms", ran))
	return nil
}

func (f *fake) Fail(_ context.Context, _, reason string, _, _ fhir.Instant) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = nil
	f.record("failed: " + reason)
	return nil
}

func (f *fake) Stalled(context.Context, fhir.Instant, int64) ([]store.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stalled, nil
}

// run runs an engine until the fake has recorded n calls, and returns them.
func run(t *testing.T, f *fake, n int, c Config) []string {
	t.Helper()
	c.Jobs, c.Logger = f, slog.New(slog.DiscardHandler)
	c.Heartbeat, c.Tick, c.Backoff = time.Millisecond, time.Millisecond, time.Nanosecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(c).Run(ctx) }()
	for range n {
		select {
		case <-f.called:
		case <-time.After(30 * time.Second):
			t.Error("the engine makes too few calls")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return f.calls
}

func want(t *testing.T, got []string, starts ...string) {
	t.Helper()
	if !slices.EqualFunc(got, starts, strings.HasPrefix) {
		t.Errorf("the engine called %q, want %q", got, starts)
	}
}

// TestConfigOfNegatives checks that negative values stand for the defaults.
func TestConfigOfNegatives(t *testing.T) {
	negative := Config{Workers: -1, Lease: -1, Heartbeat: -1, Tick: -1, Attempts: -1, Backoff: -1, StallAfter: -1, Retention: -1}
	durations := func(c Config) []time.Duration {
		return []time.Duration{time.Duration(c.Workers), c.Lease, c.Heartbeat, c.Tick, time.Duration(c.Attempts), c.Backoff, c.StallAfter, c.Retention}
	}
	if diff := cmp.Diff(durations(New(Config{}).Config), durations(New(negative).Config)); diff != "" {
		t.Errorf("negative values do not lead to the defaults (-default +got):\n%s", diff)
	}
}

func TestErrorsAreTriedThreeTimes(t *testing.T) {
	f := newFake()
	calls := run(t, f, 3, Config{Work: func(context.Context, *Claim) error { return errors.New("broken") }})
	want(t, calls, "failed attempt", "failed attempt", "failed: The export could not be finished after 3 attempts")
}

// TestOutOfFilesIsWaitedOut checks that attempts without open files do not count, and that the
// watchdog says why the job made no progress.
func TestOutOfFilesIsWaitedOut(t *testing.T) {
	f, attempts := newFake(), 0
	f.retried = true
	calls := run(t, f, 10, Config{Workers: 1, Work: func(context.Context, *Claim) error {
		if attempts++; attempts < 8 {
			return fmt.Errorf("write a part: %w", &fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE})
		}
		return errors.New("broken")
	}})
	want(t, calls, append(slices.Repeat([]string{"stopped"}, 7), "failed attempt", "failed attempt", "failed: The export could not be finished after 3 attempts")...)

	f = newFake()
	f.stalled = []store.Job{{ID: "job", State: store.Writing}}
	e := New(Config{Jobs: f, Logger: slog.New(slog.DiscardHandler)})
	e.causes.Store("job", error(syscall.ENFILE))
	e.failStalled(t.Context(), 0)
	want(t, f.calls, "failed: The server has too many files and connections open. The export made no progress for 10m.")
}

func TestPermanentErrorFailsAtOnce(t *testing.T) {
	f := newFake()
	calls := run(t, f, 1, Config{Work: func(context.Context, *Claim) error { return Permanent(errors.New("never")) }})
	want(t, calls, "failed: The export could not be finished. ")
}

// TestLateErrorEndsNothing lets a task fail permanently after its claim was lost: the job
// is neither failed nor released, and the next claim decides.
func TestLateErrorEndsNothing(t *testing.T) {
	f, attempts := newFake(), 0
	calls := run(t, f, 1, Config{Workers: 1, Work: func(context.Context, *Claim) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if attempts++; attempts == 1 {
			f.free, f.current = true, 2
		}
		return Permanent(errors.New("never"))
	}})
	want(t, calls, "failed: The export could not be finished. ")
	if attempts != 2 {
		t.Errorf("attempt %d failed the job, but its claim was lost", attempts)
	}
}

// TestAttemptsOfTheDeadCount checks that claims of crashed workers count as attempts.
func TestAttemptsOfTheDeadCount(t *testing.T) {
	f := newFake()
	f.attempt = 3
	calls := run(t, f, 1, Config{Work: func(context.Context, *Claim) error { t.Error("a fourth attempt"); return nil }})
	want(t, calls, "failed: The export could not be finished after 3 attempts")
}

func TestStopReleasesClaims(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	e := New(Config{Jobs: f, Logger: slog.New(slog.DiscardHandler), Work: func(ctx context.Context, _ *Claim) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}})
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
	want(t, f.calls, "stopped")
}

// TestHeartbeatEndsWork checks that the answer to a heartbeat cancels the work with the
// answer as the cause, and that the engine then makes no further call about the task.
func TestHeartbeatEndsWork(t *testing.T) {
	for _, cause := range []error{store.ErrCancelled, store.ErrLeaseLost} {
		f := newFake()
		f.renew = func(found int64) error {
			if found == 7 {
				return cause
			}
			return nil
		}
		got := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		e := New(Config{Jobs: f, Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Millisecond, Work: func(ctx context.Context, c *Claim) error {
			c.ReportProgress(7)
			<-ctx.Done()
			got <- context.Cause(ctx)
			return errors.New("follow-up error")
		}})
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		if err := <-got; !errors.Is(err, cause) {
			t.Errorf("the work ended because of %v, want %v", err, cause)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want(t, f.calls)
	}
}

// TestLeaseThatCannotBeRenewed checks that failed heartheartbeats cancel the work only
// when the lease ends.
func TestLeaseThatCannotBeRenewed(t *testing.T) {
	f := newFake()
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	heartbeats := 0
	f.renew = func(int64) error {
		mu.Lock()
		defer mu.Unlock()
		heartbeats++
		now = now.Add(400 * time.Millisecond)
		return errors.New("the disk is unavailable")
	}
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	e := New(Config{Jobs: f, Logger: slog.New(slog.DiscardHandler), Now: clock, Heartbeat: time.Millisecond, Lease: time.Second, Work: func(ctx context.Context, _ *Claim) error {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}})
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	if err := <-ended; !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("the work ended because of %v", err)
	}
	cancel()
	<-done
	if heartbeats != 4 { // 0, 400, 800 and 1,200 ms after the claim
		t.Errorf("%d heartheartbeats", heartbeats)
	}
}

// TestStalledJobsFail checks that the watchdog fails jobs without progress, and that time
// before its start does not count, nor time by which the clock was set.
func TestStalledJobsFail(t *testing.T) {
	const readings, perReading = 50, 200 * time.Millisecond // until the step; what each one takes
	for name, step := range map[string]time.Duration{"steady": 0, "ahead": 48 * time.Hour, "back": -48 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			start := time.Unix(1_800_000_000, 0)
			read := 0
			clock := func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				read++
				now := start.Add(time.Duration(read) * perReading)
				if read > readings {
					now = now.Add(step)
				}
				return now
			}
			f := newFake()
			f.free = false
			f.stalled = []store.Job{{ID: "job", State: store.Writing}}
			want(t, run(t, f, 1, Config{Now: clock, StallAfter: time.Minute}), "failed: The export made no progress for 1m.")
			if time.Duration(read)*perReading < time.Minute {
				t.Error("the job failed because of time before the start, or because of the step")
			}
		})
	}
}
