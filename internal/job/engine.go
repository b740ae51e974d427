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
	"muster/internal/humanize"
	"muster/internal/oserror"
	"muster/internal/share"
	"muster/internal/store"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Config configures an [Engine]. Jobs and Work are required. Other fields have defaults,
// which also replace negative values.
type Config struct {
	Jobs store.JobQueue
	// Work does one task. Several goroutines call it at once. It must return soon after
	// its context ends.
	Work func(ctx context.Context, c *Claim) error

	Now    func() time.Time // Defaults to time.Now.
	Logger *slog.Logger     // Defaults to slog.Default().
	// Workers is the number of tasks that run at the same time, at most one fewer of them in
	// long slices. One more worker does quick tasks only. Defaults to 2.
	Workers int
	// Slices are the lengths of the runs of a selection. Defaults to DefaultSlices.
	Slices Slices
	// Lease is how long a claim lasts without a heartbeat. Defaults to 5 seconds.
	Lease time.Duration
	// Heartbeat is the interval of heartbeats. Defaults to 200 ms, so that a worker notices
	// a cancellation within 250 ms (D7).
	Heartbeat time.Duration
	// Tick is how often idle workers look for tasks without Wake. Defaults to 1 second.
	Tick time.Duration
	// Attempts is the number of claims of a task before its job fails. Defaults to 3.
	Attempts int
	// Backoff is the wait after the first failed attempt; it doubles after each further
	// one. Defaults to 1 second.
	Backoff time.Duration
	// StallAfter is how long a claimed job may be without progress before it fails. Defaults
	// to 10 minutes.
	StallAfter time.Duration
	// Retention is how long clients can poll a failed job. Defaults to 24 hours.
	Retention time.Duration
	// Failed is called once for each job that this engine has failed. Optional.
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
	if len(c.Slices) == 0 {
		c.Slices = DefaultSlices
	}
	c.Lease = cmp.Or(max(0, c.Lease), DefaultLease)
	c.Heartbeat = cmp.Or(max(0, c.Heartbeat), DefaultHeartbeat)
	c.Tick = cmp.Or(max(0, c.Tick), DefaultTick)
	c.Attempts = cmp.Or(max(0, c.Attempts), DefaultAttempts)
	c.Backoff = cmp.Or(max(0, c.Backoff), DefaultBackoff)
	c.StallAfter = cmp.Or(max(0, c.StallAfter), DefaultStallAfter)
	c.Retention = cmp.Or(max(0, c.Retention), DefaultRetention)
	return c
}

// Engine runs the tasks of jobs with a fixed number of workers. Create it with [New]. Its
// methods are safe for use by several goroutines.
type Engine struct {
	Config
	name  string        // of this process, part of the names of its workers
	wake  chan struct{} // one token for each worker to wake
	lanes lanes

	// causes holds the error of the last attempt by job id. If the store could not record
	// it, for example because the disk is full, the next claim reports it.
	causes sync.Map

	mu       sync.Mutex
	notified []string // ids of the jobs for which Failed was called last
}

// New returns an engine. It does nothing until [Engine.Run] is called.
func New(c Config) *Engine {
	c = c.withDefaults()
	return &Engine{Config: c, name: uuid.NewString(), wake: make(chan struct{}, c.Workers+1), lanes: newLanes(c.Slices, c.Workers)}
}

// Wake makes idle workers look for tasks now. It never blocks.
func (e *Engine) Wake() {
	for range cap(e.wake) {
		select {
		case e.wake <- struct{}{}:
		default:
			return
		}
	}
}

// Run runs the workers until ctx ends. It returns nil when all workers have stopped and
// released their claims. Call it once.
func (e *Engine) Run(ctx context.Context) error {
	var g errgroup.Group
	for n := range e.Workers {
		g.Go(func() error {
			e.runWorker(ctx, fmt.Sprintf("%s/%d", e.name, n+1), e.doNext)
			return nil
		})
	}
	g.Go(func() error {
		e.runWorker(ctx, e.name+"/quick", e.doNextQuick)
		return nil
	})
	g.Go(func() error {
		e.watchStalled(ctx)
		return nil
	})
	return g.Wait()
}

// runWorker calls do, which claims and processes a task, until ctx ends.
func (e *Engine) runWorker(ctx context.Context, worker string, do func(context.Context, string) bool) {
	tick := time.NewTicker(e.Tick)
	defer tick.Stop()
	for ctx.Err() == nil {
		if do(ctx, worker) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-tick.C:
		}
	}
}

// doNext claims and processes a task. It returns false if there is none.
func (e *Engine) doNext(ctx context.Context, worker string) bool {
	within, mayBeLong := e.lanes.enter()
	task := e.claim(ctx, worker, within)
	long := task != nil && e.lanes.isLong(task)
	if mayBeLong && !long {
		e.lanes.leave()
	}
	if task == nil {
		return false
	}
	e.process(ctx, task)
	if mayBeLong && long {
		e.lanes.leave()
		e.Wake() // others may run a long slice now
	}
	return true
}

// doNextQuick claims and processes a task that takes a short time. It returns false if there
// is none.
func (e *Engine) doNextQuick(ctx context.Context, worker string) bool {
	task := e.claim(ctx, worker, e.lanes.quick())
	if task == nil {
		return false
	}
	e.process(ctx, task)
	return true
}

func (e *Engine) claim(ctx context.Context, worker string, within store.Bounds) *store.Task {
	task, err := e.Jobs.Claim(ctx, worker, e.now(), e.Lease.Milliseconds(), within)
	if err != nil && ctx.Err() == nil {
		e.Logger.Error("claiming a task failed", "error", err)
	}
	if task != nil {
		_ = failpoint.Inject(ctx, "job.claimed") // only a crash matters here
	}
	return task
}

// process runs a claimed task and records the outcome.
func (e *Engine) process(ctx context.Context, task *store.Task) {
	if task.Attempt > e.Attempts {
		// The last claims ended without a result: their process crashed, or the store
		// could not record the error.
		cause := errors.New("every attempt ended without a result")
		if err, ok := e.causes.Load(task.Job.ID); ok {
			cause = err.(error)
		}
		e.fail(ctx, task, cause)
		return
	}
	ctx = share.WithMeter(ctx)
	err := e.execute(ctx, task)
	finish, cancel := finishContext(ctx, e.Lease)
	defer cancel()
	_ = failpoint.Inject(finish, "job.settle")
	if err != nil && ctx.Err() == nil {
		err = e.checkClaim(finish, task, err)
	}
	var slice SliceEnd
	switch {
	case err == nil:
		e.causes.Delete(task.Job.ID)
		e.Wake()
	case errors.As(err, &slice):
		e.endSlice(finish, task, slice.Ran)
		e.Wake()
	case errors.Is(err, store.ErrCancelled):
		e.causes.Delete(task.Job.ID)
		e.log(task).Info("the task was stopped", "reason", err)
	case errors.Is(err, store.ErrLeaseLost):
		e.log(task).Info("the task was stopped", "reason", err)
	case ctx.Err() != nil:
		e.release(finish, task, 0, false)
	case oserror.IsOutOfFiles(err):
		// The watchdog ends the wait.
		e.causes.Store(task.Job.ID, err)
		e.log(task).Error("an attempt waits for open files to be closed", "wait", e.Backoff, "error", oserror.Wrap("", err))
		e.release(finish, task, e.Backoff, false)
	case isPermanent(err), task.Attempt >= e.Attempts:
		e.fail(finish, task, err)
	default:
		e.causes.Store(task.Job.ID, err)
		wait := e.Backoff << (task.Attempt - 1)
		e.log(task).Warn("an attempt failed and will be retried", "attempt", task.Attempt, "wait", wait, "error", err)
		e.release(finish, task, wait, true)
	}
}

// checkClaim returns the error of a failed attempt if the attempt still holds its claim,
// and otherwise the reason why the claim was lost. A late worker may fail because of what
// its successor did, such as deleting a file; such a failure neither counts as an attempt
// nor fails the job.
func (e *Engine) checkClaim(ctx context.Context, task *store.Task, failed error) error {
	if errors.Is(failed, store.ErrCancelled) || errors.Is(failed, store.ErrLeaseLost) {
		return failed
	}
	claim := e.Jobs.Renew(ctx, task, e.now(), e.Lease.Milliseconds(), 0)
	if errors.Is(claim, store.ErrCancelled) || errors.Is(claim, store.ErrLeaseLost) {
		return fmt.Errorf("%w; the attempt failed with: %v", claim, failed)
	}
	return failed
}

// execute calls Work while a heartbeat renews the claim. If the heartbeat has cancelled the
// work, execute returns the reason, not the error of Work.
func (e *Engine) execute(ctx context.Context, task *store.Task) error {
	working, stop := context.WithCancelCause(ctx)
	c := &Claim{Task: task, lease: e.Lease, slices: e.Slices}
	heartbeatDone := make(chan struct{})
	go func() {
		defer close(heartbeatDone)
		e.heartbeat(working, c, stop)
	}()
	err := e.Work(working, c)
	stop(nil)
	<-heartbeatDone
	if cause := context.Cause(working); err != nil && (errors.Is(cause, store.ErrCancelled) || errors.Is(cause, store.ErrLeaseLost)) {
		return cause
	}
	return err
}

// heartbeat renews the claim until the work ends. It cancels the work when the claim is
// lost.
func (e *Engine) heartbeat(ctx context.Context, c *Claim, stop context.CancelCauseFunc) {
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

// watchStalled fails jobs without progress. Time before the start of the engine does not
// count, so the downtime of a server does not fail its jobs. Nor does time before a step of the
// clock, which no job had.
func (e *Engine) watchStalled(ctx context.Context) {
	tick := time.NewTicker(e.Tick)
	defer tick.Stop()
	clock := clockReader{read: e.Now, tolerance: e.StallAfter / 10}
	since, _ := clock.next()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, stepped := clock.next()
		if stepped {
			since = now
		}
		if now.Add(-e.StallAfter).After(since) {
			e.failStalled(ctx, fhir.InstantOf(now))
		}
	}
}

// clockReader reads a clock at intervals and notices its steps, in either direction.
type clockReader struct {
	read      func() time.Time
	tolerance time.Duration // smaller steps are not noticed

	last time.Time // what it has read last
	at   time.Time // when that was, with a monotonic reading
}

// next returns the time without a monotonic reading, and whether the clock was set since the last
// call.
func (c *clockReader) next() (now time.Time, stepped bool) {
	now, at := c.read().Round(0), time.Now()
	step := now.Sub(c.last) - at.Sub(c.at)
	stepped = !c.last.IsZero() && step.Abs() > c.tolerance
	c.last, c.at = now, at
	return now, stepped
}

func (e *Engine) failStalled(ctx context.Context, now fhir.Instant) {
	stalled, err := e.Jobs.Stalled(ctx, now, e.StallAfter.Milliseconds())
	if err != nil && ctx.Err() == nil {
		e.Logger.Error("listing stalled jobs failed", "error", err)
	}
	for _, job := range stalled {
		reason := fmt.Sprintf("The export made no progress for %s. Please start it again.", humanize.Duration(e.StallAfter))
		if err, ok := e.causes.Load(job.ID); ok && oserror.IsOutOfFiles(err.(error)) {
			reason = oserror.ClientOutOfFiles + " " + reason
		}
		if err := e.Jobs.Fail(ctx, job.ID, reason, e.now(), e.expires()); err != nil {
			e.Logger.Error("failing a stalled job failed", "job", job.ID, "error", err)
			continue
		}
		e.notifyFailed(job.ID)
		e.Logger.Error("a job failed because it made no progress", "job", job.ID, "state", job.State, "since", job.Progress)
	}
}

func (e *Engine) endSlice(ctx context.Context, task *store.Task, ran time.Duration) {
	e.log(task).Debug("a selection was interrupted and will be begun again", "ran", ran)
	if err := e.Jobs.EndSlice(ctx, task, ran.Milliseconds(), e.now()); err != nil {
		e.log(task).Error("ending a slice failed; its lease will end", "error", err)
	}
}

func (e *Engine) release(ctx context.Context, task *store.Task, wait time.Duration, failed bool) {
	if err := e.Jobs.Release(ctx, task, e.now()+fhir.Instant(wait.Milliseconds()), failed); err != nil {
		e.log(task).Error("releasing a claim failed; its lease will end", "error", err)
	}
}

// fail fails the job. The cause is logged; the client gets a sentence.
func (e *Engine) fail(ctx context.Context, task *store.Task, cause error) {
	e.log(task).Error("a job failed", "attempt", task.Attempt, "error", cause)
	if err := e.Jobs.Fail(ctx, task.Job.ID, e.reason(task, cause), e.now(), e.expires()); err != nil {
		e.log(task).Error("failing a job failed; it will be retried", "error", err)
		e.causes.Store(task.Job.ID, cause)
		return
	}
	e.notifyFailed(task.Job.ID)
}

// reason returns the text for the client. An error with a method ClientText provides it, and one
// with a method Reason its first sentence.
func (e *Engine) reason(task *store.Task, cause error) string {
	var whole interface{ ClientText() string }
	var known interface{ Reason() string }
	switch {
	case errors.As(cause, &whole):
		return whole.ClientText()
	case errors.As(cause, &known):
		return known.Reason() + " Please start the export again when this has been fixed."
	case isPermanent(cause):
		return "The export could not be finished. Please start it again."
	}
	return fmt.Sprintf("The export could not be finished after %d attempts. Please start it again.", min(task.Attempt, e.Attempts))
}

// maxNotified is how many failed jobs the engine remembers: several workers may fail the
// parts of one job at about the same time.
const maxNotified = 100

// notifyFailed calls Failed once for a failed job and drops its cause.
func (e *Engine) notifyFailed(jobID string) {
	e.causes.Delete(jobID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Failed == nil || slices.Contains(e.notified, jobID) {
		return
	}
	if len(e.notified) == maxNotified {
		e.notified = slices.Delete(e.notified, 0, 1)
	}
	e.notified = append(e.notified, jobID)
	e.Failed(jobID)
}

// LongestWait is how far ahead a worker sets the end of its claim, or of the wait for the next
// attempt, at most.
func (e *Engine) LongestWait() time.Duration {
	return max(e.Lease, e.Backoff<<max(0, e.Attempts-2))
}

func (e *Engine) now() fhir.Instant     { return fhir.InstantOf(e.Now()) }
func (e *Engine) expires() fhir.Instant { return fhir.InstantOf(e.Now().Add(e.Retention)) }

// log returns a logger with the attributes of the task.
func (e *Engine) log(task *store.Task) *slog.Logger {
	l := e.Logger.With("job", task.Job.ID, "fence", task.Fence)
	if task.Part != nil {
		l = l.With("part", task.Part.Number)
	}
	return l
}

// Claim is a task in progress.
type Claim struct {
	Task   *store.Task
	lease  time.Duration
	slices Slices
	found  atomic.Int64
}

// FinishContext returns a context for the final store update of the task. It survives the
// stop of the engine, and a heartbeat that finds the task already done, so that a committed
// result is always reported. The store still checks the claim. The context lasts for one
// lease; call cancel after use.
func (c *Claim) FinishContext(ctx context.Context) (finish context.Context, cancel context.CancelFunc) {
	return finishContext(ctx, c.lease)
}

// finishContext returns a context for store updates that must happen although ctx ends.
func finishContext(ctx context.Context, lease time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), lease)
}

// ReportProgress sets how many resources this claim has found or written since its start.
// The next heartbeat stores the number. It is safe for use by several goroutines.
func (c *Claim) ReportProgress(n int64) { c.found.Store(n) }

// Permanent marks an error that retries cannot resolve: the job fails at once.
func Permanent(err error) error { return permanent{err} }

type permanent struct{ error }

func (p permanent) Unwrap() error   { return p.error }
func (p permanent) Permanent() bool { return true }

// isPermanent reports whether an error says that retries cannot resolve it.
func isPermanent(err error) bool {
	p, ok := errors.AsType[interface {
		error
		Permanent() bool
	}](err)
	return ok && p.Permanent()
}
