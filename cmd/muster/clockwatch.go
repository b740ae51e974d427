package main

import (
	"context"
	"log/slog"
	"time"

	"muster/internal/fhir"
	"muster/internal/humanize"
)

// clockInterval is how often a server checks its clocks, and clockRepeat after how many checks
// an error that stays is logged again.
const (
	clockInterval = time.Minute
	clockRepeat   = 60
)

// maxAhead is the difference of two clocks from which one of them is wrong. Time zones, leap
// seconds and the drift of a machine without a time server make less.
const maxAhead = 24 * time.Hour

// clockWatch notices clocks that are wrong. Both errors damage: versions with times in the future
// are in no delta until that time comes, and exports expire before their time.
type clockWatch struct {
	log *slog.Logger
	// last returns the last time that the clock of the directory has issued.
	last func(context.Context) (fhir.Instant, error)

	before time.Time // the time of the check before; zero at first
	quiet  int       // checks until the directory's clock is reported again
}

// run checks the clocks until ctx ends. now is the clock of the directory's machine.
func (w *clockWatch) run(ctx context.Context, now func() time.Time) {
	tick := time.NewTicker(clockInterval)
	defer tick.Stop()
	for checked := time.Now(); ; {
		start := time.Now()
		w.check(ctx, now().Round(0), start.Sub(checked)) // time.Now has a monotonic clock, which is not set
		checked = start
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// check checks the clocks at a time, when elapsed has passed since the check before.
func (w *clockWatch) check(ctx context.Context, now time.Time, elapsed time.Duration) {
	if step := now.Sub(w.before) - elapsed; !w.before.IsZero() && step > maxAhead {
		w.log.Error("the clock was set ahead", "by", humanize.Duration(step), "now", now.UTC().Format(time.RFC3339),
			"to_do", "check the clock: exports expire by it, and what is committed now has this time; if it is wrong, stop the server, set the clock, and restore a backup if something was committed meanwhile")
	}
	w.before = now
	last, err := w.last(ctx)
	if err != nil {
		return // a database that does not answer is reported elsewhere
	}
	ahead := last.Time().Sub(now)
	if ahead <= maxAhead {
		w.quiet = 0
		return
	}
	if w.quiet > 0 {
		w.quiet--
		return
	}
	w.quiet = clockRepeat - 1
	w.log.Error("the last time of the directory is ahead of the clock", "by", humanize.Duration(ahead), "last", last.Time().UTC().Format(time.RFC3339), "now", now.UTC().Format(time.RFC3339),
		"to_do", "set the clock of the machine if it is behind; if it is right, something was committed while it was ahead: restore a backup from before, or load the data into a new directory. New versions get times after the last one, one millisecond each")
}
