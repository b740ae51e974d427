package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Config is what an [Engine] needs. Jobs and Work must be set; the other zero
// values stand for the defaults named here, and so do negative ones.
type Config struct {
	Jobs store.Jobs
	// Work does one piece of work. It is called by several goroutines at once, and
	// ends soon when its context does.
	Work func(ctx context.Context, c *Claim) error

	Now       func() time.Time // time.Now
	Logger    *slog.Logger     // slog.Default
	Workers   int              // pieces of work at a time: 2
	Lease     time.Duration    // how long a claim lives without a heartbeat: 5 s
	Heartbeat time.Duration    // 200 ms, so that a cancel is seen within 250 (D7)
	Tick      time.Duration    // how often idle workers look for work by themselves: 1 s
	Attempts  int              // claims of a piece of work before its job fails: 3
	Backoff   time.Duration    // wait after the first failed attempt, doubled after each: 1 s
	// StallAfter is how long a job may stand still before it fails: 10 minutes.
	StallAfter time.Duration
	// Retention is how long a failed job can still be asked about: 24 hours.
	Retention time.Duration
	// Failed is called for each job that this engine has ended as failed. Optional.
	Failed func(jobID string)
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Workers = cmp.Or(max(0, c.Workers), DefaultWorkers)
	c.Lease = cmp.Or(max(0, c.Lease), DefaultLease)
	c.Heartbeat = cmp.Or(max(0, c.Heartbeat), DefaultHeartbeat)
	c.Tick = cmp.Or(max(0, c.Tick), DefaultTick)
	c.Attempts = cmp.Or(max(0, c.Attempts), DefaultAttempts)
	c.Backoff = cmp.Or(max(0, c.Backoff), DefaultBackoff)
	c.StallAfter = cmp.Or(max(0, c.StallAfter), DefaultStallAfter)
	c.Retention = cmp.Or(max(0, c.Retention), DefaultRetention)
	return c
}

// Engine runs the work of jobs with a fixed number of workers. Create it with
// [New]; its methods are safe for use by several goroutines.
type Engine struct {
	Config
	name string        // of this process, part of the names of its workers
	wake chan struct{} // one token for each worker that should look for work

	// causes holds, by job id, why the last attempt failed. The store may not have been told
	// of it, as on a full disk; the next claim then says it.
	causes sync.Map

	mu     sync.Mutex
	failed []string // ids of the jobs that were failed last, so that each is told once
}

// New creates an engine. It does nothing before [Engine.Run].
func New(c Config) *Engine {
	c = c.withDefaults()
	return &Engine{Config: c, name: uuid.NewString(), wake: make(chan struct{}, c.Workers)}
}

// Wake lets idle workers look for work now. It never blocks.
func (e *Engine) Wake() {
	for range e.Workers {
		select {
		case e.wake <- struct{}{}:
		default:
			return
		}
	}
}

// Run works until ctx ends, and returns nil when all workers have stopped and
// given back their claims. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	var g errgroup.Group
	for n := range e.Workers {
		g.Go(func() error {
			e.work(ctx, fmt.Sprintf("%s/%d", e.name, n+1))
			return nil
		})
	}
	g.Go(func() error {
		e.watch(ctx)
		return nil
	})
	return g.Wait()
}

// work is the life of one worker.
func (e *Engine) work(ctx context.Context, worker string) {
	tick := time.NewTicker(e.Tick)
	defer tick.Stop()
	for ctx.Err() == nil {
		task, err := e.Jobs.Claim(ctx, worker, e.now(), e.Lease.Milliseconds())
		if err != nil && ctx.Err() == nil {
			e.Logger.Error("no work could be claimed", "error", err)
		}
		if task != nil {
			_ = failpoint.Inject(ctx, "job.claimed") // only a death matters here
			e.attempt(ctx, task)
			continue
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-tick.C:
		}
	}
}

// attempt does a claimed piece of work and settles what became of it.
func (e *Engine) attempt(ctx context.Context, task *store.Task) {
	if task.Attempt > e.Attempts {
		// The last claims ended without a word: their process died, or the store could
		// not be told.
		cause := errors.New("the worker of every attempt disappeared")
		if err, ok := e.causes.Load(task.Job.ID); ok {
			cause = err.(error)
		}
		e.fail(ctx, task, cause)
		return
	}
	err := e.run(ctx, task)
	settle, cancel := settling(ctx, e.Lease)
	defer cancel()
	_ = failpoint.Inject(settle, "job.settle")
	if err != nil && ctx.Err() == nil {
		err = e.whose(settle, task, err)
	}
	switch {
	case err == nil:
		e.causes.Delete(task.Job.ID)
		e.Wake()
	case errors.Is(err, store.ErrCancelled):
		e.causes.Delete(task.Job.ID)
		e.log(task).Info("work stopped", "reason", err)
	case errors.Is(err, store.ErrLeaseLost):
		e.log(task).Info("work stopped", "reason", err)
	case ctx.Err() != nil:
		e.release(settle, task, 0, false)
	case errors.As(err, new(permanent)), task.Attempt >= e.Attempts:
		e.fail(settle, task, err)
	default:
		e.causes.Store(task.Job.ID, err)
		wait := e.Backoff << (task.Attempt - 1)
		e.log(task).Warn("an attempt failed and will be repeated", "attempt", task.Attempt, "wait", wait, "error", err)
		e.release(settle, task, wait, true)
	}
}

// whose looks at the claim of work that failed. A worker that comes back late fails
// of what others did meanwhile, such as a file that was cleared away behind it: its
// error says that the claim is gone then, and neither counts against the job nor
// ends it.
func (e *Engine) whose(ctx context.Context, task *store.Task, failed error) error {
	if errors.Is(failed, store.ErrCancelled) || errors.Is(failed, store.ErrLeaseLost) {
		return failed
	}
	claim := e.Jobs.Renew(ctx, task, e.now(), e.Lease.Milliseconds(), 0)
	if errors.Is(claim, store.ErrCancelled) || errors.Is(claim, store.ErrLeaseLost) {
		return fmt.Errorf("%w; the attempt failed with: %v", claim, failed)
	}
	return failed
}

// run does the work under a heartbeat. When the heartbeat has ended the work,
// its reason is the error, whatever the work made of it.
func (e *Engine) run(ctx context.Context, task *store.Task) error {
	working, stop := context.WithCancelCause(ctx)
	c := &Claim{Task: task, lease: e.Lease}
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		e.beat(working, c, stop)
	}()
	err := e.Work(working, c)
	stop(nil)
	<-beating
	if cause := context.Cause(working); err != nil && (errors.Is(cause, store.ErrCancelled) || errors.Is(cause, store.ErrLeaseLost)) {
		return cause
	}
	return err
}

// beat renews the claim until the work ends, and ends the work when the claim is
// not worth anything any more.
func (e *Engine) beat(ctx context.Context, c *Claim, stop context.CancelCauseFunc) {
	tick := time.NewTicker(e.Heartbeat)
	defer tick.Stop()
	renewed := e.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := e.Now()
		err := e.Jobs.Renew(ctx, c.Task, fhir.InstantOf(now), e.Lease.Milliseconds(), c.found.Load())
		switch {
		case err == nil:
			renewed = now
		case errors.Is(err, store.ErrCancelled), errors.Is(err, store.ErrLeaseLost):
			stop(err)
			return
		case ctx.Err() != nil:
			return
		case now.Sub(renewed) >= e.Lease:
			e.log(c.Task).Error("the lease could not be renewed in time", "error", err)
			e.causes.Store(c.Task.Job.ID, err)
			stop(store.ErrLeaseLost)
			return
		default:
			e.log(c.Task).Warn("a heartbeat failed", "error", err)
		}
	}
}

// watch fails jobs that stand still. Time before the start of the engine does
// not count: a server that was switched off does not fail its jobs.
func (e *Engine) watch(ctx context.Context) {
	tick := time.NewTicker(e.Tick)
	defer tick.Stop()
	started := e.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if before := e.Now().Add(-e.StallAfter); before.After(started) {
			e.failStalled(ctx, fhir.InstantOf(before))
		}
	}
}

func (e *Engine) failStalled(ctx context.Context, before fhir.Instant) {
	stalled, err := e.Jobs.Stalled(ctx, before)
	if err != nil && ctx.Err() == nil {
		e.Logger.Error("stalled jobs could not be looked for", "error", err)
	}
	for _, job := range stalled {
		reason := fmt.Sprintf("The export made no progress for %s. Please start it again.", e.StallAfter)
		if err := e.Jobs.Fail(ctx, job.ID, reason, e.now(), e.ends()); err != nil {
			e.Logger.Error("a stalled job could not be failed", "job", job.ID, "error", err)
			continue
		}
		e.ended(job.ID)
		e.Logger.Error("a job made no progress and failed", "job", job.ID, "state", job.State, "since", job.Progress)
	}
}

func (e *Engine) release(ctx context.Context, task *store.Task, wait time.Duration, failed bool) {
	if err := e.Jobs.Release(ctx, task, e.now()+fhir.Instant(wait.Milliseconds()), failed); err != nil {
		e.log(task).Error("work could not be given back; its lease will end by itself", "error", err)
	}
}

// fail ends the job. Its client gets a sentence, the log gets the cause.
func (e *Engine) fail(ctx context.Context, task *store.Task, cause error) {
	e.log(task).Error("a job failed", "attempt", task.Attempt, "error", cause)
	if err := e.Jobs.Fail(ctx, task.Job.ID, e.reason(task, cause), e.now(), e.ends()); err != nil {
		e.log(task).Error("a job could not be failed; it will be tried again", "error", err)
		e.causes.Store(task.Job.ID, cause)
		return
	}
	e.ended(task.Job.ID)
}

// reason is the sentence for the client. An error that has a method Reason says for
// itself what a client may know of it.
func (e *Engine) reason(task *store.Task, cause error) string {
	var known interface{ Reason() string }
	switch {
	case errors.As(cause, &known):
		return known.Reason() + " Please start the export again when that has been mended."
	case errors.As(cause, new(permanent)):
		return "The export could not be finished. Please start it again."
	}
	return fmt.Sprintf("The export could not be finished after %d attempts. Please start it again.", min(task.Attempt, e.Attempts))
}

// rememberFailed is how many failed jobs are remembered: workers fail the parts of one
// job at about the same time.
const rememberFailed = 100

// ended forgets a job that was failed, and tells who wants to know, once.
func (e *Engine) ended(jobID string) {
	e.causes.Delete(jobID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Failed == nil || slices.Contains(e.failed, jobID) {
		return
	}
	if len(e.failed) == rememberFailed {
		e.failed = slices.Delete(e.failed, 0, 1)
	}
	e.failed = append(e.failed, jobID)
	e.Failed(jobID)
}

func (e *Engine) now() fhir.Instant  { return fhir.InstantOf(e.Now()) }
func (e *Engine) ends() fhir.Instant { return fhir.InstantOf(e.Now().Add(e.Retention)) }

func (e *Engine) log(task *store.Task) *slog.Logger {
	l := e.Logger.With("job", task.Job.ID, "fence", task.Fence)
	if task.Part != nil {
		l = l.With("part", task.Part.Number)
	}
	return l
}

// Claim is a piece of work in progress.
type Claim struct {
	Task  *store.Task
	lease time.Duration
	found atomic.Int64
}

// Settling returns a context for what the work tells the store when it has come to its end.
// Neither a stop of the engine cuts it off, nor a heartbeat that meets work which the store
// already has as done: the work would be done, and who did it would not know. Whether the
// claim still holds, the store says itself. It lasts for one lease; call cancel after use.
func (c *Claim) Settling(ctx context.Context) (settle context.Context, cancel context.CancelFunc) {
	return settling(ctx, c.lease)
}

// settling is for what is said to the store even while the engine stops.
func settling(ctx context.Context, lease time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), lease)
}

// Found notes how many resources this claim has found or written so far, from
// its beginning; the next heartbeat stores it. Safe for use by several
// goroutines.
func (c *Claim) Found(n int64) { c.found.Store(n) }

// Permanent marks an error that another attempt cannot mend: the job fails at
// once.
func Permanent(err error) error { return permanent{err} }

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }
