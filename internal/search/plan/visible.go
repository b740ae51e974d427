package plan

import "muster/internal/search/index"

// Shows reports whether a resource in a state is what the condition asks for.
func (v Visible) Shows(state index.Visibility) bool {
	return !(v.Active && state&index.Inactive != 0) && !(v.NotSuppressed && state&index.Suppressed != 0)
}

// Admitting is the condition weakened so far that it shows a resource in this state.
func (v Visible) Admitting(state index.Visibility) Visible {
	return Visible{Active: v.Active && state&index.Inactive == 0, NotSuppressed: v.NotSuppressed && state&index.Suppressed == 0}
}
