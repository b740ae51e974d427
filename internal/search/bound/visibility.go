package bound

// Visibility restricts a query to resources by their state.
type Visibility struct {
	Found    State // of the resources that the query finds
	Followed State // of the resources that chains and reverse chains lead over
}

// State is what the state of a resource must be. A field that is false asks for nothing.
type State struct {
	Active        bool // active (VI-03)
	NotSuppressed bool // not suppressed (SU-01)
}

// String describes the visibility, such as "finds active and unsuppressed resources;
// follows references over resources in any state".
func (v Visibility) String() string {
	return "finds " + v.Found.String() + "; follows references over " + v.Followed.String()
}

// String describes the resources, such as "unsuppressed resources".
func (s State) String() string {
	switch s {
	case State{Active: true, NotSuppressed: true}:
		return "active and unsuppressed resources"
	case State{Active: true}:
		return "active resources"
	case State{NotSuppressed: true}:
		return "unsuppressed resources"
	}
	return "resources in any state"
}
