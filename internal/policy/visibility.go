package policy

import (
	"slices"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
)

// The state parameters (VI-07). Location and Endpoint have the element status, Provenance has
// neither, and the other types have the element active.
const (
	activeParam     = "active"
	statusParam     = "status"
	suppressedParam = "suppressed"
)

func isState(name string) bool {
	return name == activeParam || name == statusParam || name == suppressedParam
}

// ForSearch returns q with the visibility of a search and of an export without _since:
// only active and unsuppressed resources are found (VI-01). A query that names the state
// on an axis, active or suppressed, is not restricted on that axis (VI-04, VI-09, A-50).
//
// Chains and reverse chains lead over active and unsuppressed resources alone, whatever
// state the query names, so that nothing can be inferred about hidden resources from what
// refers to them (VI-16, A-25). A Provenance is never inactive: it is found when it is not
// suppressed and all that it is about is visible (VI-14, A-24), and of the types that the client
// reaches.
func ForSearch(q bound.Query, types fhir.TypeSet) bound.Query {
	visible := bound.State{Active: true, NotSuppressed: true}
	q.Visibility = bound.Visibility{Found: visible, Followed: visible, Unreached: fhir.AllTypes().Without(types)}
	for _, t := range q.Terms {
		switch stateOf(t) {
		case activeParam, statusParam:
			q.Visibility.Found.Active = false
		case suppressedParam:
			q.Visibility.Found.NotSuppressed = false
		}
	}
	return q
}

// ForDelta returns q with the visibility of an export with _since: resources in any state
// are found and followed (VI-10). Without suppressed resources, only unsuppressed ones
// are, and a Provenance is found when nothing that it is about is suppressed or deleted.
// State parameters of the query are ignored (VI-11), but not those at the end of chains. A
// Provenance must be about the types that the client reaches alone.
func ForDelta(q bound.Query, types fhir.TypeSet, withoutSuppressed bool) bound.Query {
	state := bound.State{NotSuppressed: withoutSuppressed}
	q.Visibility = bound.Visibility{Found: state, Followed: state, Unreached: fhir.AllTypes().Without(types)}
	q.Terms = slices.Clone(q.Terms)
	for n, t := range q.Terms {
		q.Terms[n].Ignored = stateOf(t) != ""
	}
	return q
}

// ForOperator returns q with the visibility of the operator's own work: resources in any state are
// found and followed, and state parameters narrow the query as all others do.
func ForOperator(q bound.Query) bound.Query {
	q.Visibility = bound.Visibility{}
	return q
}

// stateOf returns the state parameter that a term compares; empty for other terms.
func stateOf(t bound.Term) string {
	c, ok := t.Node.(bound.Criterion)
	if !ok || len(c.Params) == 0 || c.Params[0].Role != conformance.State {
		return ""
	}
	return c.Params[0].Code
}
