package export

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"muster/internal/damage"
	"muster/internal/humanize"
	"muster/internal/store"
)

// logEvery is the pause between two looks at the log of the database.
const logEvery = 250 * time.Millisecond

// logLimit bounds the log of the database, which grows while a snapshot is open. Beyond the
// limit it interrupts one running selection after the other, the oldest first, and lets none
// begin until the log is truncated. If something else keeps the log, such as a backup,
// selections continue until the log has grown by the limit once more.
type logLimit struct {
	log    store.WriteAheadLog // nil if there is none
	limit  int64               // bytes; 0 means no limit
	logger *slog.Logger
	// interrupted is called for each selection that is interrupted.
	interrupted func()
	// damaged is called when damage of the log is reported.
	damaged func(damage.Kind)

	mu      sync.Mutex
	running []*runningSelection // oldest first
	held    chan struct{}       // closed when selections may begin; nil if they may
	next    int64               // the size at which the limit acts, if it is beyond the limit
	failure string              // that was reported: the log cannot be moved into the database
}

// runningSelection is a selection that has a snapshot, or is about to open one.
type runningSelection struct {
	limit *logLimit
	jobID string
	stop  context.CancelCauseFunc // nil until it runs
}

// enter registers a selection. It waits while the limit holds selections.
func (l *logLimit) enter(ctx context.Context, jobID string) (*runningSelection, error) {
	for {
		l.mu.Lock()
		held := l.held
		if held == nil {
			r := &runningSelection{limit: l, jobID: jobID}
			l.running = append(l.running, r)
			l.mu.Unlock()
			return r, nil
		}
		l.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// context returns a context that the limit can end.
func (r *runningSelection) context(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, stop := context.WithCancelCause(ctx)
	r.limit.mu.Lock()
	defer r.limit.mu.Unlock()
	r.stop = stop
	return ctx, stop
}

// leave ends the registration.
func (r *runningSelection) leave() {
	r.limit.mu.Lock()
	defer r.limit.mu.Unlock()
	r.limit.running = slices.DeleteFunc(r.limit.running, func(other *runningSelection) bool { return other == r })
}

// watch looks at the log until ctx ends.
func (l *logLimit) watch(ctx context.Context) error {
	if l.log == nil {
		return nil
	}
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	defer l.release()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.report()
		if l.limit == 0 {
			continue
		}
		if err := l.check(ctx); err != nil && ctx.Err() == nil {
			l.logger.Error("the log of the database could not be limited; it will be tried again", "error", err)
		}
	}
}

// report reports once that the log could not be moved into the database, and once that it could
// again.
func (l *logLimit) report() {
	err := l.log.LogFailure()
	if err == nil {
		if l.failure != "" {
			l.logger.Info("the log of the database could be moved into it again")
		}
		l.failure = ""
		return
	}
	if err.Error() == l.failure {
		return
	}
	l.failure = err.Error()
	l.logger.Error("the log of the database cannot be moved into it", "error", err)
	if kind, ok := damage.KindOf(err); ok {
		l.damaged(kind)
	}
}

// check looks at the log once.
func (l *logLimit) check(ctx context.Context) error {
	size, err := l.log.LogSize()
	if err != nil {
		return err
	}
	switch {
	case size <= l.limit:
		l.next = 0
		l.release()
		return nil
	case size < l.next:
		return nil
	}
	if l.interruptOldest(size) {
		return nil // the next look decides whether that was enough
	}
	defer l.release()
	truncated, err := l.log.TruncateLog(ctx)
	if err != nil {
		l.next = size + l.limit
		return err
	}
	if truncated {
		l.next = 0
		return nil
	}
	l.next = size + l.limit
	l.logger.Warn("the log of the database is beyond its limit, and no export keeps it: look for a backup or another program that reads the database",
		"size", humanize.Bytes(size), "limit", humanize.Bytes(l.limit))
	return nil
}

// interruptOldest interrupts the selection that runs for the longest time and holds those
// that want to begin. It returns false if none runs.
func (l *logLimit) interruptOldest(size int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(chan struct{})
	}
	for _, r := range l.running {
		if r.stop != nil {
			r.stop(errLogTooLong)
			r.stop = nil
			l.interrupted()
			l.logger.Warn("a selection was interrupted because the log of the database is beyond its limit; it will be begun again",
				"job", r.jobID, "size", humanize.Bytes(size), "limit", humanize.Bytes(l.limit))
			return true
		}
	}
	return len(l.running) > 0
}

// release lets selections begin.
func (l *logLimit) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}
