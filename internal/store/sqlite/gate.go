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
	start := time.Now()
	defer share.Waited(ctx, start)
	if g.waited != nil {
		defer func() { g.waited(time.Since(start)) }()
	}
	leaveTurnstile, err := g.lockFile(ctx, filepath.Join(g.dir, turnstileFile))
	if err != nil {
		return nil, err
	}
	defer leaveTurnstile()
	release, err = g.lockFile(ctx, filepath.Join(g.dir, gateFile))
	if err == nil && g.stalls != nil {
		g.stalls.Passed()
	}
	return release, err
}
