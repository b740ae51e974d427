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
	// Together is how many sequences were performed at once, 1 if the steps alone lead to the
	// difference.
	Together int
}

// String describes the failure with the documents of its steps.
func (f Failure) String() string {
	text := fmt.Sprintf("seed %d, sequence %d", f.Seed, f.Sequence)
	if f.Together > 1 {
		text += fmt.Sprintf(", among %d that were performed at once", f.Together)
	}
	text += fmt.Sprintf(": %v\nafter the steps:", f.Err)
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

// Together is how many sequences are performed at once. All matches of a search of one type must be
// in the pages that a directory offers, which end after 150 matches.
const Together = 50

// Draw names random sequences.
type Draw struct {
	Seed      uint64
	First     int // number of the first sequence
	Sequences int
}

// Groups returns the draws of at most size sequences that are performed at once.
func (d Draw) Groups(size int) (groups []Draw) {
	for n := 0; n < d.Sequences; n += size {
		groups = append(groups, Draw{d.Seed, d.First + n, min(size, d.Sequences-n)})
	}
	return groups
}

// Run compares random sequences, in stores of its own. It stops at the first failure. done is
// called with the counts of sequences that agree. Optional.
func (c Config) Run(ctx context.Context, draw Draw, done func(Counts)) (counts Counts, failure *Failure, err error) {
	for _, group := range draw.Groups(Together) {
		one, failure, err := c.runGroup(ctx, group)
		counts.Add(one)
		if failure != nil || err != nil {
			return counts, failure, err
		}
		if done != nil {
			done(one)
		}
	}
	return counts, nil, nil
}

func (c Config) runGroup(ctx context.Context, group Draw) (_ Counts, _ *Failure, err error) {
	d, err := c.Open(ctx)
	if err != nil {
		return Counts{}, nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return Random(ctx, d, group)
}

// random is a random sequence.
type random struct {
	generator *rulestest.Generator
	history   *rulestest.History
	steps     []rulestest.Step
}

func (r *random) next() Played {
	step := r.generator.Next(r.history.World)
	r.steps = append(r.steps, step)
	r.history.Step(step.Changes...)
	return Played{step, r.history}
}

// Random performs random sequences of 8 to 25 steps on a directory, all at once: each has as many
// steps.
func Random(ctx context.Context, target Target, draw Draw) (counts Counts, _ *Failure, err error) {
	c, err := Begin(ctx, target)
	if err != nil {
		return counts, nil, err
	}
	c.chains = true
	var all []*random
	for n := range draw.Sequences {
		number := draw.First + n
		r := rand.New(rand.NewPCG(draw.Seed, uint64(number)))
		all = append(all, &random{
			generator: &rulestest.Generator{Random: r, Prefix: fmt.Sprintf("x%d-", number)}, history: &rulestest.History{},
		})
	}
	ofGroup := rand.New(rand.NewPCG(draw.Seed, 1<<63|uint64(draw.First)))
	for n := range 8 + ofGroup.IntN(18) {
		var played []Played
		for _, r := range all {
			played = append(played, r.next())
		}
		err := c.Step(ctx, played, ofGroup.IntN(n+1))
		if difference, ok := errors.AsType[Difference](err); ok {
			of := c.of[difference.Of]
			return counts, &Failure{draw.Seed, draw.First + of, all[of].steps, err, draw.Sequences}, nil
		}
		if err != nil {
			return counts, nil, fmt.Errorf("seed %d, sequences from %d, step %d: %w", draw.Seed, draw.First, n+1, err)
		}
		counts.Steps += draw.Sequences
	}
	counts.Sequences, counts.Resources = draw.Sequences, len(c.view)
	for _, resource := range c.view {
		if resource.Inherits() {
			counts.Inherited++
		}
	}
	return counts, nil, nil
}

// Replay performs the steps of one sequence in a new store and returns the difference.
func (c Config) Replay(ctx context.Context, steps []rulestest.Step) (err error) {
	d, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	comparison, err := Begin(ctx, d)
	if err != nil {
		return err
	}
	h := &rulestest.History{}
	for _, step := range steps {
		h.Step(step.Changes...)
		if err := comparison.Step(ctx, []Played{{step, h}}, 0); err != nil {
			return err
		}
	}
	return nil
}

// Shrink removes steps from a failure as long as there is a difference. A failure whose steps alone
// lead to no difference is returned as it is.
func (c Config) Shrink(ctx context.Context, f Failure) (Failure, error) {
	err := c.Replay(ctx, f.Steps)
	if !isDifference(err) {
		return f, err
	}
	f.Err, f.Together = err, 1
	for shorter := true; shorter; {
		shorter = false
		for n := len(f.Steps) - 1; n >= 0; n-- {
			fewer := append(append([]rulestest.Step{}, f.Steps[:n]...), f.Steps[n+1:]...)
			err := c.Replay(ctx, fewer)
			if err != nil && !isDifference(err) {
				return f, err
			}
			if err != nil {
				f.Steps, f.Err, shorter = fewer, err, true
			}
		}
	}
	return f, nil
}
