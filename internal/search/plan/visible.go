package plan

import "muster/internal/search/index"

// Shows reports whether a resource in this state meets the condition.
func (v Visible) Shows(state index.Visibility) bool { return state&v.Hiding() == 0 }

// Admitting returns the condition without the parts that a resource in this state does not
// meet.
func (v Visible) Admitting(state index.Visibility) Visible {
	return Visible{Active: v.Active && state&index.Inactive == 0, NotSuppressed: v.NotSuppressed && state&index.Suppressed == 0}
}

// Visible returns what the plan asks of the state of a resource itself, whatever it asks besides.
func (p Plan) Visible() (v Visible) {
	root, _ := p.Root.(And)
	for _, n := range root {
		if n, ok := n.(Visible); ok {
			v = Visible{v.Active || n.Active, v.NotSuppressed || n.NotSuppressed}
		}
	}
	return v
}
