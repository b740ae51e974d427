package compare

import (
	"context"
	"fmt"

	"muster/internal/rulestest"
)

// Ask asks the directory a question of a script after a step. It finds only what was written since
// the comparison began.
func (c *Comparison) Ask(ctx context.Context, q rulestest.Question) error {
	switch q.Command {
	case "search", "includes":
		matches, included, err := c.search(ctx, q.About+"&"+c.written())
		if err != nil {
			return err
		}
		if q.Command == "includes" {
			matches = included
		}
		return q.Found(matches)
	case "export", "since":
		r := Request{Filters: []string{q.About + "&" + c.written()}}
		if q.Command == "since" {
			r.Since = &c.times[len(c.times)-2] // the end of the step before
		}
		lines, _, err := c.export(ctx, r)
		if err != nil {
			return err
		}
		return q.Found(namesOf(lines))
	case "version":
		n, _ := rulestest.ParseName(q.About)
		l := c.lines[n]
		if l == nil {
			return fmt.Errorf("%s has not been served", n)
		}
		if l.version != q.Want[0] {
			return fmt.Errorf("it has version %s", l.version)
		}
		return nil
	}
	return fmt.Errorf("%q is not a question", q.Command)
}
