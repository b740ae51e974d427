package sqlite

import (
	"context"
	"path/filepath"
	"time"
)

// Files of the gate in the data directory. They are empty; only the locks on
// them mean something.
const (
	turnstileFile = "turnstile.lock"
	gateFile      = "gate.lock"
)

// gate lets one writer in at a time, over all processes on the data directory.
// SQLite's own lock would be enough to exclude, but it lets a busy loader win
// again and again. Here who waits for the gate stands in the turnstile
// meanwhile, so the writer that just left comes after the one that waits.
type gate struct {
	dir    string
	waited func(time.Duration) // is told of each wait; nil for nobody
}

// enter waits for the gate, or for the end of ctx, and returns the function to
// leave it with. Nobody may enter twice.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	if g.waited != nil {
		start := time.Now()
		defer func() { g.waited(time.Since(start)) }()
	}
	pass, err := acquire(ctx, filepath.Join(g.dir, turnstileFile))
	if err != nil {
		return nil, err
	}
	defer pass()
	return acquire(ctx, filepath.Join(g.dir, gateFile))
}
