package plan

import "muster/internal/search/index"

// Shows reports whether a resource in a state is what the condition asks for.
func (v Visible) Shows(state index.Visibility) bool {
	return !(v.Active && state&index.Inactive != 0) && !(v.NotSuppressed && state&index.Suppressed != 0)
}

// VisibleIn returns the condition on the state of the resources themselves that a
// plan has; the zero Visible, which shows all, if it has none.
func VisibleIn(p Plan) (v Visible) {
	and, _ := p.Root.(And)
	for _, n := range and {
		if one, ok := n.(Visible); ok {
			v.Active, v.NotSuppressed = v.Active || one.Active, v.NotSuppressed || one.NotSuppressed
		}
	}
	return v
}
