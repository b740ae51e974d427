package sqlite

import (
	"cmp"
	"context"
	"path/filepath"
	"time"

	"muster/internal/share"
	"muster/internal/store"
)

// Files of the gate in the data directory. The locks on them matter; their text says which
// process acquired the lock last, and when.
const (
	turnstileFile = "turnstile.lock"
	gateFile      = "gate.lock"
)

// gate is a mutual exclusion lock over all processes on the data directory. It is fair.
// SQLite's own lock would exclude other writers too, but a busy loader would acquire it
// again and again. A process that waits for the gate holds the turnstile, so a process
// that has released the gate acquires it again only after the waiting one.
type gate struct {
	dir    string
	waited func(time.Duration) // is called with the duration of each wait; may be nil

	stalls *store.StallReporter // may be nil
	after  time.Duration        // without progress, until a holder is reported. Defaults to store.GateStallAfter
	every  time.Duration        // between two looks at the holder. Defaults to watchInterval
}

func (g gate) stallAfter() time.Duration { return cmp.Or(g.after, store.GateStallAfter) }

// acquire waits for the gate, or until ctx ends. The caller calls release. The gate is not
// reentrant.
func (g gate) acquire(ctx context.Context) (release func(), err error) {
	release, leaveTurnstile, err := g.acquireBoth(ctx)
	if err == nil {
		leaveTurnstile()
	}
	return release, err
}

// acquireBoth is acquire, but keeps the turnstile. Until leaveTurnstile is called, no other goroutine
// acquires the gate, and the caller may release it and pass again.
func (g gate) acquireBoth(ctx context.Context) (release, leaveTurnstile func(), err error) {
	start := time.Now()
	defer share.Waited(ctx, start)
	if g.waited != nil {
		defer func() { g.waited(time.Since(start)) }()
	}
	if leaveTurnstile, err = g.lockFile(ctx, filepath.Join(g.dir, turnstileFile)); err != nil {
		return nil, nil, err
	}
	if release, err = g.pass(ctx); err != nil {
		leaveTurnstile()
		return nil, nil, err
	}
	return release, leaveTurnstile, nil
}

// pass acquires the gate from within the turnstile.
func (g gate) pass(ctx context.Context) (release func(), err error) {
	release, err = g.lockFile(ctx, filepath.Join(g.dir, gateFile))
	if err == nil && g.stalls != nil {
		g.stalls.Passed()
	}
	return release, err
}
