package compare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"muster/internal/rulestest"
)

// Failure is a sequence after which the directory differs from the model.
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
type Counts struct {
	Sequences, Steps int
	Resources        int // at the ends of the sequences
	Inherited        int // of these
}

// Add adds other counts.
func (c *Counts) Add(other Counts) {
	c.Sequences += other.Sequences
	c.Steps += other.Steps
	c.Resources += other.Resources
	c.Inherited += other.Inherited
}

// perStore is how many sequences a store holds. To create one takes longer than a sequence.
const perStore = 20

// Run compares random sequences that follow from a seed, in stores of its own. It stops at the first
// failure. done is called after each sequence. Optional.
func (c Config) Run(ctx context.Context, seed uint64, sequences int, done func(Counts)) (counts Counts, failure *Failure, err error) {
	var d *Directory
	defer func() {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	for n := range sequences {
		if d != nil && n%perStore == 0 {
			closing := d
			d = nil
			if err := closing.Close(); err != nil {
				return counts, nil, err
			}
		}
		if d == nil {
			if d, err = c.Open(ctx); err != nil {
				return counts, nil, err
			}
		}
		one, failure, err := Random(ctx, d, Draw{seed, n})
		if failure != nil || err != nil {
			return counts, failure, err
		}
		counts.Add(one)
		if done != nil {
			done(counts)
		}
	}
	return counts, nil, nil
}

// Draw names a random sequence.
type Draw struct {
	Seed     uint64
	Sequence int
}

// Random performs a random sequence of 8 to 25 steps on a directory.
func Random(ctx context.Context, target Target, draw Draw) (counts Counts, _ *Failure, err error) {
	seed, n := draw.Seed, draw.Sequence
	s, err := Begin(ctx, target, fmt.Sprintf("x%d-", n))
	if err != nil {
		return counts, nil, err
	}
	s.chains = true
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	g := &rulestest.Generator{Random: r, Prefix: s.prefix}
	f := &Failure{Seed: seed, Sequence: n}
	for range 8 + r.IntN(18) {
		step := g.Next(s.History.World)
		f.Steps = append(f.Steps, step)
		s.History.Step(step.Changes...)
		if f.Err = s.Step(ctx, step, r.IntN(s.History.Steps())); errors.As(f.Err, new(Difference)) {
			return counts, f, nil
		}
		if f.Err != nil {
			return counts, nil, fmt.Errorf("seed %d, sequence %d, step %d: %w", seed, n, len(f.Steps), f.Err)
		}
		counts.Steps++
	}
	counts.Sequences = 1
	counts.Resources = len(s.History.View)
	for _, resource := range s.History.View {
		if resource.Inherits() {
			counts.Inherited++
		}
	}
	return counts, nil, nil
}

// Replay performs steps in a new store and returns the difference.
func (c Config) Replay(ctx context.Context, steps []rulestest.Step) (err error) {
	d, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s, err := Begin(ctx, d, "")
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

// Shrink removes steps from a failure as long as there is a difference.
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
