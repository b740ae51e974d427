package job

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a job store with one piece of work. It notes what the engine says of
// it, and answers heartbeats as a test wants.
type fake struct {
	store.Jobs

	mu       sync.Mutex
	free     bool
	attempt  int
	stalled  []store.Job
	renew    func(found int64) error
	current  int64 // claims before this one are lost
	said     []string
	happened chan struct{} // a token for each thing said
}

func newFake() *fake { return &fake{free: true, happened: make(chan struct{}, 1000)} }

func (f *fake) say(what string) {
	f.said = append(f.said, what)
	f.happened <- struct{}{}
}

func (f *fake) Claim(_ context.Context, worker string, _ fhir.Instant, _ int64) (*store.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.free {
		return nil, nil
	}
	f.free = false
	f.attempt++
	return &store.Task{Job: store.Job{ID: "job"}, Worker: worker, Fence: int64(f.attempt), Attempt: f.attempt}, nil
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
	what := "stopped"
	if failed {
		what, f.free = "failed attempt", true
	}
	f.say(what)
	return nil
}

func (f *fake) Fail(_ context.Context, _, reason string, _, _ fhir.Instant) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = nil
	f.say("failed: " + reason)
	return nil
}

func (f *fake) Stalled(context.Context, fhir.Instant) ([]store.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stalled, nil
}

// run runs an engine until the fake was told n things, and returns them.
func run(t *testing.T, f *fake, n int, c Config) []string {
	t.Helper()
	c.Jobs, c.Logger = f, slog.New(slog.DiscardHandler)
	c.Heartbeat, c.Tick, c.Backoff = time.Millisecond, time.Millisecond, time.Nanosecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(c).Run(ctx) }()
	for range n {
		select {
		case <-f.happened:
		case <-time.After(30 * time.Second):
			t.Error("the engine says too little")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return f.said
}

func want(t *testing.T, got []string, starts ...string) {
	t.Helper()
	if !slices.EqualFunc(got, starts, strings.HasPrefix) {
		t.Errorf("the engine said %q, want %q", got, starts)
	}
}

// Numbers that make no sense stand for the defaults, and none of them panics.
func TestConfigOfNegatives(t *testing.T) {
	negative := Config{Workers: -1, Lease: -1, Heartbeat: -1, Tick: -1, Attempts: -1, Backoff: -1, StallAfter: -1, Retention: -1}
	durations := func(c Config) []time.Duration {
		return []time.Duration{time.Duration(c.Workers), c.Lease, c.Heartbeat, c.Tick, time.Duration(c.Attempts), c.Backoff, c.StallAfter, c.Retention}
	}
	if diff := cmp.Diff(durations(New(Config{}).Config), durations(New(negative).Config)); diff != "" {
		t.Errorf("negative values are no defaults (-default +got):\n%s", diff)
	}
}

func TestErrorsAreTriedThreeTimes(t *testing.T) {
	f := newFake()
	said := run(t, f, 3, Config{Work: func(context.Context, *Claim) error { return errors.New("broken") }})
	want(t, said, "failed attempt", "failed attempt", "failed: The export could not be finished after 3 attempts")
}

func TestPermanentErrorFailsAtOnce(t *testing.T) {
	f := newFake()
	said := run(t, f, 1, Config{Work: func(context.Context, *Claim) error { return Permanent(errors.New("never")) }})
	want(t, said, "failed: The export could not be finished. ")
}

// TestLateErrorEndsNothing lets work fail for good when its claim is another's by
// then: the job is neither failed nor given back, and the next claim counts.
func TestLateErrorEndsNothing(t *testing.T) {
	f, attempts := newFake(), 0
	said := run(t, f, 1, Config{Workers: 1, Work: func(context.Context, *Claim) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if attempts++; attempts == 1 {
			f.free, f.current = true, 2
		}
		return Permanent(errors.New("never"))
	}})
	want(t, said, "failed: The export could not be finished. ")
	if attempts != 2 {
		t.Errorf("attempt %d failed the job, and its claim was another's", attempts)
	}
}

// A job whose workers vanish without a word ends too.
func TestAttemptsOfTheDeadCount(t *testing.T) {
	f := newFake()
	f.attempt = 3
	said := run(t, f, 1, Config{Work: func(context.Context, *Claim) error { t.Error("a fourth attempt"); return nil }})
	want(t, said, "failed: The export could not be finished after 3 attempts")
}

func TestStopGivesWorkBack(t *testing.T) {
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
	want(t, f.said, "stopped")
}

// What the store answers to a heartbeat ends the work, with that as its cause,
// and nothing is said about it to the store any more.
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
			return errors.New("some consequence")
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
		want(t, f.said)
	}
}

// Heartbeats that fail are no reason to stop, until the lease is over.
func TestLeaseThatCannotBeRenewed(t *testing.T) {
	f := newFake()
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	beats := 0
	f.renew = func(int64) error {
		mu.Lock()
		defer mu.Unlock()
		beats++
		now = now.Add(400 * time.Millisecond)
		return errors.New("the disk is away")
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
	if beats != 4 { // 0, 400, 800 and 1,200 ms after the claim
		t.Errorf("%d heartbeats", beats)
	}
}

// The watchdog fails what stands still, but not for time before its own start.
func TestStalledJobsFail(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second) // each look at the clock takes a second
		return now
	}
	f := newFake()
	f.free = false
	f.stalled = []store.Job{{ID: "job", State: store.Writing}}
	started := now
	said := run(t, f, 1, Config{Now: clock, StallAfter: time.Minute})
	want(t, said, "failed: The export made no progress for 1m0s")
	if clock().Sub(started) < time.Minute {
		t.Error("the job failed for time before the start")
	}
}
