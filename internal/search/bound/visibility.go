package bound

import "muster/internal/fhir"

// Visibility restricts a query to resources that its client may see.
type Visibility struct {
	Found    State // of the resources that the query finds
	Followed State // of the resources that chains and reverse chains lead over
	// Unreached are the types that the client does not reach. A Provenance about one of them is
	// neither found nor followed.
	Unreached fhir.TypeSet
}

// State is what the state of a resource must be. A field that is false asks for nothing.
type State struct {
	Active        bool // active (VI-03)
	NotSuppressed bool // not suppressed (SU-01)
}

// String describes the visibility, such as "finds active and unsuppressed resources;
// follows references over resources in any state".
func (v Visibility) String() string {
	text := "finds " + v.Found.String() + "; follows references over " + v.Followed.String()
	if v.Unreached != 0 {
		text += "; no Provenance of " + v.Unreached.String()
	}
	return text
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
