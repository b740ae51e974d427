package compare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/rulestest"
	"muster/internal/search"
	"muster/internal/search/index"
	searchcompare "muster/internal/searchtest/compare"
	"muster/internal/store"
)

// Config configures the comparison.
type Config struct {
	Registry *conformance.Registry
	Zone     *time.Location // of dates without a time zone
	// New returns an empty store with the base URL [rulestest.Base], and a function that removes it.
	New func(ctx context.Context) (store.Store, func() error, error)
	// Independent draws only resources that do not depend on each other.
	Independent bool
}

// Directory is a store that holds sequences. It is not safe for concurrent use.
type Directory struct {
	Store store.Store

	config    Config
	remove    func() error
	compiler  *search.Compiler
	extractor *index.Extractor
	handler   http.Handler
	sequences int
}

// Open creates a store. The caller must close the directory.
func (c Config) Open(ctx context.Context) (_ *Directory, err error) {
	d := &Directory{config: c, compiler: search.New(c.Registry, rulestest.Base, c.Zone)}
	if d.extractor, err = index.NewExtractor(c.Registry, rulestest.Base); err != nil {
		return nil, err
	}
	if d.Store, d.remove, err = c.New(ctx); err != nil {
		return nil, err
	}
	d.handler, err = searchcompare.Handler(d.Store, nil, d.compiler, searchcompare.Config{Registry: c.Registry, Zone: c.Zone})
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close closes and removes the store.
func (d *Directory) Close() error { return errors.Join(d.Store.Close(), d.remove()) }

// snapshot opens a snapshot of the store.
func (d *Directory) snapshot(ctx context.Context) (store.Snapshot, error) {
	return d.Store.OpenSnapshot(ctx, func(context.Context, fhir.Instant) error { return nil })
}

// perStore is how many sequences a store holds. A new one takes longer than a sequence.
const perStore = 20

// Failure is a sequence after which the store differs from the model.
type Failure struct {
	Seed     uint64
	Sequence int
	Steps    []rulestest.Step
	Err      error // the difference
}

// String describes the failure with the documents of its steps.
func (f Failure) String() string {
	text := fmt.Sprintf("seed %d, sequence %d: %v\nafter the steps:", f.Seed, f.Sequence, f.Err)
	for n, s := range f.Steps {
		text += fmt.Sprintf("\n# step %d: %s", n+1, s.What)
		for _, c := range s.Changes {
			if c.Document != nil {
				text += "\n" + string(rulestest.Source(c.Document))
			}
		}
	}
	return text
}

// Counts are the numbers of what was compared.
type Counts struct{ Sequences, Steps, Resources, Inherited int }

// Run compares random sequences of 8 to 25 steps that follow from a seed. It stops at the first
// failure. done is called after each sequence; optional.
func (c Config) Run(ctx context.Context, seed uint64, sequences int, done func(Counts)) (counts Counts, failure *Failure, err error) {
	var d *Directory
	defer func() {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	for n := range sequences {
		if n%perStore == 0 {
			if d != nil {
				if err := d.Close(); err != nil {
					return counts, nil, err
				}
			}
			if d, err = c.Open(ctx); err != nil {
				return counts, nil, err
			}
		}
		steps, err := d.random(ctx, rand.New(rand.NewPCG(seed, uint64(n))), &counts)
		if errors.As(err, new(Difference)) {
			return counts, &Failure{seed, n, steps, err}, nil
		}
		if err != nil {
			return counts, nil, fmt.Errorf("seed %d, sequence %d: %w", seed, n, err)
		}
		if done != nil {
			done(counts)
		}
	}
	return counts, nil, nil
}

// random performs one random sequence.
func (d *Directory) random(ctx context.Context, r *rand.Rand, counts *Counts) (steps []rulestest.Step, err error) {
	s, err := d.Begin(ctx)
	if err != nil {
		return nil, err
	}
	g := &rulestest.Generator{Random: r, Prefix: s.Prefix, Independent: d.config.Independent}
	for range 8 + r.IntN(18) {
		step := g.Next(s.History.World)
		steps = append(steps, step)
		s.History.Step(step.Changes...)
		if err := s.Step(ctx, step, r.IntN(s.History.Steps())); err != nil {
			return steps, err
		}
		counts.Steps++
	}
	counts.Sequences++
	counts.Resources += len(s.History.View)
	for _, resource := range s.History.View {
		if resource.Inherits() {
			counts.Inherited++
		}
	}
	return steps, nil
}

// Replay performs the steps of a failure again in a new store, and returns the difference. The ids
// of the steps keep their prefix.
func (c Config) Replay(ctx context.Context, steps []rulestest.Step) (err error) {
	d, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s, err := d.Begin(ctx)
	if err != nil {
		return err
	}
	for _, step := range steps {
		s.History.Step(step.Changes...)
		if err := s.Step(ctx, step, 0); err != nil {
			return err
		}
	}
	return nil
}

// Shrink removes steps and changes from a failure as long as there is a difference.
func (c Config) Shrink(ctx context.Context, f Failure) (Failure, error) {
	for shorter := true; shorter; {
		shorter = false
		for n := len(f.Steps) - 1; n >= 0; n-- {
			fewer := append(append([]rulestest.Step{}, f.Steps[:n]...), f.Steps[n+1:]...)
			err := c.Replay(ctx, fewer)
			if err != nil && !errors.As(err, new(Difference)) {
				return f, err
			}
			if err != nil {
				f.Steps, f.Err, shorter = fewer, err, true
			}
		}
	}
	return f, nil
}
