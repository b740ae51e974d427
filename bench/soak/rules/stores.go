package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"muster/bench/soak"
	"muster/internal/conformance"
	"muster/internal/load"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/search/index"
	"muster/internal/store"
	teststores "muster/internal/testkit/stores"

	"golang.org/x/sync/errgroup"
)

// stores compares sequences in stores of this process.
func stores(ctx context.Context, p plan) error {
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	progress := newProgress(p.Sequences)
	groups := make(chan compare.Draw)
	workers, ctx := errgroup.WithContext(ctx)
	for n := range p.Parallel {
		workers.Go(func() (err error) {
			// A database of its own: a schema holds one store.
			env, err := soak.NewEnv(ctx, "", filepath.Join(p.Dir, fmt.Sprint(n)), p.Postgres)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, env.Cleanup(context.WithoutCancel(ctx))) }()
			for group := range groups {
				if err := one(ctx, config(registry, env, group), group, progress); err != nil {
					return err
				}
			}
			return nil
		})
	}
	workers.Go(func() error {
		defer close(groups)
		for _, group := range (compare.Draw{Seed: p.Seed, Sequences: p.Sequences}).Groups(compare.Together) {
			select {
			case groups <- group:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err := workers.Wait(); err != nil {
		return err
	}
	progress.print(fmt.Sprintf("in stores, %s, seed %d", p.database, p.Seed))
	return nil
}

// config returns the configuration of stores in an environment. In every other group, cascades over
// two resources already run in slices, as those over many do.
func config(registry *conformance.Registry, env *soak.Env, group compare.Draw) compare.Config {
	directory := teststores.Directory{BaseURL: rulestest.Base, Registry: registry, Rules: load.RulesFor(registry)}
	if group.First/compare.Together%2 == 1 {
		directory.Dependants = 1
	}
	return compare.Config{Registry: registry, Zone: index.Zone(), New: func(ctx context.Context) (store.Store, func() error, error) {
		if env.Database != "" {
			return teststores.Postgres(ctx, env.Database, directory)
		}
		return teststores.SQLite(ctx, env.Dir, directory)
	}}
}

// one compares the sequences of a group. The error of a difference has the smallest sequence.
func one(ctx context.Context, c compare.Config, group compare.Draw, done *progress) error {
	_, failure, err := c.Run(ctx, group, done.add)
	if failure == nil || err != nil {
		return err
	}
	smallest, err := c.Shrink(ctx, *failure)
	return errors.Join(fmt.Errorf("the directory and the model differ: %v", smallest), err)
}

// progress counts and prints what is done. It is safe for use by several goroutines.
type progress struct {
	of    int
	start time.Time

	mu      sync.Mutex
	counts  compare.Counts
	printed time.Time
}

func newProgress(of int) *progress { return &progress{of: of, start: time.Now()} }

func (p *progress) add(counts compare.Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Add(counts)
	if time.Since(p.printed) < 10*time.Second {
		return
	}
	p.printed = time.Now()
	fmt.Printf("%d of %d, %.0f s, %.1f sequences/s\n", p.counts.Sequences, p.of, time.Since(p.start).Seconds(), p.rate())
}

func (p *progress) rate() float64 { return float64(p.counts.Sequences) / time.Since(p.start).Seconds() }

// print prints the result as a row for bench/RESULTS.md.
func (p *progress) print(what string) {
	fmt.Printf("| rules = model, %s | %d sequences of %d steps, no differences; %d resources at the ends, %d inherit a state; %.0f s, %.1f sequences/s |\n",
		what, p.counts.Sequences, p.counts.Steps, p.counts.Resources, p.counts.Inherited, time.Since(p.start).Seconds(), p.rate())
}
