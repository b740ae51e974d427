package plan

import "muster/internal/search/index"

// Shows reports whether a resource in this state meets the condition.
func (v Visible) Shows(state index.Visibility) bool { return state&v.Hiding() == 0 }

// Admitting returns the condition without the parts that a resource in this state does not
// meet.
func (v Visible) Admitting(state index.Visibility) Visible {
	return Visible{Active: v.Active && state&index.Inactive == 0, NotSuppressed: v.NotSuppressed && state&index.Suppressed == 0}
}
