package compare

import (
	"context"
	"maps"

	"muster/internal/fhir"
	"muster/internal/rulestest"
)

// Comparison compares a directory with the model after each step. Several sequences can be
// performed at once, so that one question compares all of them: what a question costs depends
// little on how many resources it finds. It is not safe for concurrent use.
type Comparison struct {
	target Target
	chains bool           // compares filters that follow references to generated names
	times  []fhir.Instant // of exports: before the first step, and after each

	played   []Played
	of       map[rulestest.Name]int    // the sequence of each resource
	possible [][]rulestest.View        // what clients may see of each sequence during a step
	view     rulestest.View            // of all sequences, after the step
	served   map[rulestest.Name]served // of the view

	known    map[string]*line           // by text
	lines    map[rulestest.Name]*line   // the last line of each resource
	versions map[rulestest.Name][]*line // the lines that deltas had of each resource after each step, the oldest first
	bytes    map[string]string          // served bytes by version, and by document
	copy     rulestest.Copy             // kept by deltas alone
}

// Played is a sequence with its next step, which is the last one of the history.
type Played struct {
	Step    rulestest.Step
	History *rulestest.History
}

// Begin begins a comparison. Nothing has written the ids of its steps before.
func Begin(ctx context.Context, target Target) (*Comparison, error) {
	c := &Comparison{
		target: target, of: map[rulestest.Name]int{}, known: map[string]*line{}, lines: map[rulestest.Name]*line{}, versions: map[rulestest.Name][]*line{}, bytes: map[string]string{},
	}
	r, err := target.Export(ctx, Request{Filters: []string{"Organization?_id=none"}})
	c.times = append(c.times, r.Time)
	return c, err
}

// Step performs the next step of each sequence, and compares the directory with the model. It also
// compares the delta since the end of an earlier step (0: since the beginning). The sequences are
// the same ones at each call, in the same order. The error is a [Difference] unless the directory
// fails.
func (c *Comparison) Step(ctx context.Context, played []Played, since int) error {
	c.played, c.view, c.served, c.possible = played, rulestest.View{}, map[rulestest.Name]served{}, nil
	for n, p := range played {
		for _, change := range p.Step.Changes {
			c.of[change.Name] = n
		}
		maps.Copy(c.view, p.History.View)
		c.possible = append(c.possible, p.History.Between()[:1])
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	at, err := c.compareExports(ctx, since)
	if err != nil {
		return err
	}
	c.times = append(c.times, at)
	return c.compareAnswers(ctx)
}

// write writes the changes of all sequences. Steps of one document share a load. One of several
// documents has its own, since the model knows its transactions.
func (c *Comparison) write(ctx context.Context) error {
	var together, reloads []int
	var removals []rulestest.Name
	for n, p := range c.played {
		switch changes := p.Step.Changes; {
		case len(changes) == 1 && changes[0].Reloaded > 0:
			reloads = append(reloads, n)
		case len(changes) == 1 && changes[0].Document == nil:
			removals = append(removals, changes[0].Name)
		case len(changes) == 1:
			together = append(together, n)
		default:
			if err := c.load(ctx, c.source, n); err != nil {
				return err
			}
		}
	}
	if err := c.load(ctx, c.source, together...); err != nil {
		return err
	}
	if err := c.load(ctx, c.reloaded, reloads...); err != nil || len(removals) == 0 {
		return err
	}
	var removed []int
	for _, n := range removals {
		removed = append(removed, c.of[n])
		c.possible[c.of[n]] = c.played[c.of[n]].History.Between()
	}
	return c.target.Remove(ctx, removals, c.interrupted(ctx, removed...))
}

// source returns the file of the next steps of some sequences.
func (c *Comparison) source(sequences []int) (f File) {
	for _, n := range sequences {
		for _, change := range c.played[n].Step.Changes {
			f.Text = append(f.Text, rulestest.Source(change.Document)...)
		}
	}
	return f
}

// reloaded returns the file of the next steps of some sequences, which load lines that were served.
func (c *Comparison) reloaded(sequences []int) File {
	f := File{Served: true}
	for _, n := range sequences {
		change := c.played[n].Step.Changes[0]
		served := c.versions[change.Name]
		if at := len(served) - change.Reloaded; at >= 0 {
			f.Text = append(append(f.Text, served[at].text...), '\n')
		}
	}
	return f
}

// load loads the file of the next steps of some sequences.
func (c *Comparison) load(ctx context.Context, file func([]int) File, sequences ...int) error {
	f := file(sequences)
	if len(f.Text) == 0 {
		return nil
	}
	for _, n := range sequences {
		c.possible[n] = c.played[n].History.Between()
	}
	if err := c.target.Load(ctx, f, c.interrupted(ctx, sequences...)); err != nil {
		return err
	}
	for _, n := range sequences {
		c.possible[n] = []rulestest.View{c.played[n].History.View}
	}
	return nil
}

// interrupted returns the function that a target calls after it has interrupted a write of some
// sequences. The write is repeated then.
func (c *Comparison) interrupted(ctx context.Context, sequences ...int) func() error {
	return func() error {
		if err := c.compareInterrupted(ctx); err != nil {
			return err
		}
		for _, n := range sequences {
			c.possible[n] = c.played[n].History.Repeated()
		}
		return nil
	}
}

// changed returns what a delta since the end of a step holds.
func (c *Comparison) changed(since int) (output, deleted []rulestest.Name) {
	for _, p := range c.played {
		changed, gone := p.History.Delta(since)
		output, deleted = append(output, changed...), append(deleted, gone...)
	}
	return rulestest.Sorted(output), rulestest.Sorted(deleted)
}
