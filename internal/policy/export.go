package policy

import (
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// The state parameters (VI-07). Location and Endpoint have a status, the other
// types are active or not.
const (
	activeParam     = "active"
	statusParam     = "status"
	suppressedParam = "suppressed"
)

func isState(name string) bool {
	return name == activeParam || name == statusParam || name == suppressedParam
}

// ForExport completes a checked question for an export.
//
// Without _since it adds the implied criteria active=true (or status=active) and
// suppressed=false, each unless the client names the state on that axis (VI-04,
// VI-09, A-50). With since it takes out all state parameters of the client,
// whatever their modifiers, and adds none (VI-10, VI-11); those within chains
// stay. Provenance has no state, so nothing is added to it.
//
// The query given is not changed.
func ForExport(q query.Query, since bool) query.Query {
	var params []query.Param
	named := map[string]bool{}
	for _, p := range q.Params {
		if l, ok := p.(query.Leaf); ok && isState(l.Name) {
			named[l.Name] = true
			if since {
				continue
			}
		}
		params = append(params, p)
	}
	q.Params = params
	if since || q.Type == fhir.Provenance {
		return q
	}
	if own, value := activity(q.Type); !named[own] {
		q.Params = append(q.Params, implied(own, value))
	}
	if !named[suppressedParam] {
		q.Params = append(q.Params, implied(suppressedParam, "false"))
	}
	return q
}

// activity is the criterion by which resources of the type are active (VI-03).
func activity(t fhir.Type) (name, value string) {
	if t == fhir.Location || t == fhir.Endpoint {
		return statusParam, "active"
	}
	return activeParam, "true"
}

func implied(name, value string) query.Leaf {
	return query.Leaf{Name: name, Values: []query.Value{{Parts: []string{value}}}, Implied: true}
}
