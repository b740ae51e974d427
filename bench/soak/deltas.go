package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"muster/internal/testkit"

	"golang.org/x/sync/errgroup"
)

// DeltasPlan configures [Deltas].
type DeltasPlan struct {
	Rounds int // rounds of the main chain
	Seed   uint64
	Batch  int // resources of a short load
	Long   int // resources of a long load: several batches
}

// DeltasReport counts what happened in [Deltas].
type DeltasReport struct {
	Main, Second *Chain
	Loads        int64    // completed loads, each by its own process
	Removed      int64    // physically removed resources
	Versions     int      // written versions
	Warnings     []string // warnings and errors in the log of the server
	DuringLoad   int64    // rounds of both chains that began during a load
}

// Deltas tests the promise about chained exports. While processes load short and long
// batches and remove resources, two chains of exports must add up to what was written:
// nothing is lost, nothing is repeated, and nothing is committed after the transaction
// time of its export.
//
// The resources are in three lanes, each with one writer: short loads of a part of the
// first lane, loads of the whole second lane with pauses, and a third lane whose
// resources are removed and loaded again.
func Deltas(ctx context.Context, env *Env, plan DeltasPlan) (DeltasReport, error) {
	d := &deltas{env: env, plan: plan, history: NewHistory(),
		short: names("Practitioner", "s", plan.Batch*2), long: names("Practitioner", "l", plan.Long), volatile: names("Location", "v", plan.Batch)}
	if err := d.load(slices.Concat(d.short, d.long, d.volatile), hideNone); err != nil {
		return d.report, err
	}
	server, err := env.Serve("--part-bytes", "60000", "--sweep-every", "500ms", "--jobs", "0", "--client-quota", "0", "--quota", "0")
	if err != nil {
		return d.report, err
	}
	defer server.Kill()
	err = d.run(ctx, server)
	d.report.Warnings = warnings(server.Log())
	d.report.Versions = d.history.Versions()
	if err != nil {
		return d.report, fmt.Errorf("%w\nend of the log of the server:\n%s", err, tail(server.Log()))
	}
	return d.report, nil
}

// tail returns the end of a log.
func tail(log string) string { return log[max(0, len(log)-4000):] }

// warnings returns the warnings and errors in the log of a server.
func warnings(log string) (all []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// names returns n resources.
func names(typ, prefix string, n int) []Name {
	all := make([]Name, n)
	for i := range all {
		all[i] = Name{typ, fmt.Sprint(prefix, i)}
	}
	return all
}

type deltas struct {
	env                   *Env
	plan                  DeltasPlan
	history               *History
	short, long, volatile []Name
	loading               atomic.Int64 // running loads
	fullExports           atomic.Int64 // chains that have completed their full export
	report                DeltasReport
}

func (d *deltas) run(ctx context.Context, server *testkit.Server) error {
	d.report.Main, d.report.Second = NewChain(d.history), NewChain(d.history)
	writing, stop := context.WithCancel(ctx)
	defer stop()
	writers, failed := errgroup.WithContext(writing)
	for lane, writer := range []func(context.Context, *rand.Rand) error{d.loadShort, d.loadLong, d.removeAndLoad} {
		random := rand.New(rand.NewPCG(d.plan.Seed, uint64(lane)))
		writers.Go(func() error {
			for failed.Err() == nil {
				if err := writer(failed, random); err != nil {
					return err
				}
			}
			return nil
		})
	}
	readers, reading := errgroup.WithContext(ctx)
	done := make(chan struct{})
	readers.Go(func() error {
		defer close(done)
		for d.report.Main.Rounds < d.plan.Rounds {
			if cause := failed.Err(); cause != nil {
				return cause // a writer failed and returns the error
			}
			if err := d.round(reading, d.report.Main, server); err != nil {
				return fmt.Errorf("the main chain: %w", err)
			}
		}
		return nil
	})
	readers.Go(func() error {
		for {
			if err := d.round(reading, d.report.Second, server); err != nil {
				return fmt.Errorf("the second chain: %w", err)
			}
			select {
			case <-done:
				return nil
			case <-reading.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	})
	read := readers.Wait()
	stop()
	if err := errors.Join(writers.Wait(), read); err != nil {
		return err
	}
	return d.verify(ctx, server)
}

// verify runs the last round of each chain after all writers have ended, and compares the
// unions and a full export with what was written.
func (d *deltas) verify(ctx context.Context, server *testkit.Server) error {
	for _, c := range []*Chain{d.report.Main, d.report.Second} {
		if err := errors.Join(c.Round(ctx, server), c.Verify()); err != nil {
			return err
		}
	}
	full := NewChain(d.history)
	if err := full.Round(ctx, server); err != nil {
		return fmt.Errorf("a full export at the end: %w", err)
	}
	visible := d.history.Final(false)
	if full.Lines != len(visible) {
		return fmt.Errorf("a full export at the end has %d resources, want %d", full.Lines, len(visible))
	}
	for n, version := range visible {
		if full.last[n] != version {
			return fmt.Errorf("a full export at the end has version %d of %s, want %d", full.last[n], n, version)
		}
	}
	return nil
}

func (d *deltas) round(ctx context.Context, c *Chain, server *testkit.Server) error {
	if d.loading.Load() > 0 {
		atomic.AddInt64(&d.report.DuringLoad, 1)
	}
	ctx, cancel := context.WithTimeout(ctx, 4*testkit.Patience)
	defer cancel()
	if err := c.Round(ctx, server); err != nil {
		return err
	}
	if c.Rounds == 1 {
		d.fullExports.Add(1)
	}
	return nil
}

// mayHide reports whether versions may be hidden. The first export of a chain holds
// visible resources only, so the chain would never contain a resource that was hidden
// before.
func (d *deltas) mayHide() bool { return d.fullExports.Load() == 2 }

// hideNone hides no version.
func hideNone() bool { return false }

// load loads the next version of each resource.
func (d *deltas) load(all []Name, hide func() bool) error {
	d.loading.Add(1)
	defer d.loading.Add(-1)
	var lines []string
	for _, n := range all {
		lines = append(lines, d.history.Put(n, hide()))
	}
	if err := d.env.Load(lines); err != nil {
		return err
	}
	d.history.Acknowledge(all...)
	atomic.AddInt64(&d.report.Loads, 1)
	return nil
}

// hideSome hides one version in eight if mayHide allows it.
func (d *deltas) hideSome(r *rand.Rand) func() bool {
	return func() bool { return d.mayHide() && r.IntN(8) == 0 }
}

func (d *deltas) loadShort(_ context.Context, r *rand.Rand) error {
	return d.load(pick(r, d.short, 1+r.IntN(d.plan.Batch)), d.hideSome(r))
}

func (d *deltas) loadLong(ctx context.Context, r *rand.Rand) error {
	if err := d.load(d.long, d.hideSome(r)); err != nil {
		return err
	}
	pause(ctx, r, 4*time.Second)
	return nil
}

// removeAndLoad removes some resources through the store and loads others that were
// removed.
func (d *deltas) removeAndLoad(ctx context.Context, r *rand.Rand) (err error) {
	directory, err := d.env.Open(ctx)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	var present, removed []Name
	for _, n := range pick(r, d.volatile, 1+r.IntN(len(d.volatile))) {
		if d.history.LastIsPut(n) {
			present = append(present, n)
			d.history.Remove(n)
		} else {
			removed = append(removed, n)
		}
	}
	if len(present) > 0 {
		// Never cancelled half way: the directory must match the history.
		if err := Remove(context.WithoutCancel(ctx), directory, present); err != nil {
			return err
		}
		atomic.AddInt64(&d.report.Removed, int64(len(present)))
	}
	if len(removed) > 0 {
		if err := d.load(removed, d.hideSome(r)); err != nil {
			return err
		}
	}
	pause(ctx, r, 100*time.Millisecond)
	return nil
}

// ignoreEnd returns nil for an error after the end of the context.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// pick returns n of the names, in random order.
func pick(r *rand.Rand, all []Name, n int) []Name {
	shuffled := slices.Clone(all)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	return shuffled[:min(n, len(shuffled))]
}

// pause waits a random time up to a limit, or until the context ends.
func pause(ctx context.Context, r *rand.Rand, limit time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(r.Int64N(int64(limit)))):
	}
}
