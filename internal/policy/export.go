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

// ForSearch completes a checked question for a search, as [ForExport] does for an
// export without _since: only what is visible is found (VI-01).
func ForSearch(q query.Query) query.Query { return ForExport(q, false) }

// ForExport completes a checked question for an export.
//
// Without _since it adds the implied criteria active=true (or status=active) and
// suppressed=false, each unless the client names the state on that axis (VI-04,
// VI-09, A-50). Steps of chains and reverse chains lead over visible resources alone,
// whatever state the criterion behind them names, so that nothing hidden can be
// inferred from what refers to it (VI-16, A-25). A
// Provenance has no state: it is found when all that it is about is visible (VI-14,
//
//
// With since it takes out all state parameters of the client, whatever their
// modifiers, and adds none (VI-10, VI-11); those within chains stay.
//
// The query given is not changed.
func ForExport(q query.Query, since bool) query.Query {
	var params []query.Param
	named := map[string]bool{}
	for _, p := range q.Params {
		if l, ok := p.(query.Leaf); ok && (isState(l.Name) || l.Implied) {
			named[l.Name] = true
			if since {
				continue
			}
		}
		params = append(params, steps(p, since))
	}
	q.Params = params
	if since {
		return q
	}
	for _, l := range visible(q.Type) {
		if !named[l.Name] {
			q.Params = append(q.Params, l)
		}
	}
	return q
}

// steps returns the criterion with what each of its steps implies, which with since
// is nothing.
func steps(p query.Param, since bool) query.Param {
	implied := func(typeName string) []query.Leaf {
		if since {
			return nil
		}
		t, _ := fhir.ParseType(typeName) // not written: any type but Provenance implies the same
		return visible(t)
	}
	switch p := p.(type) {
	case query.Chain:
		p.Next, p.Implied = steps(p.Next, since), implied(p.Type)
		return p
	case query.Has:
		p.Next, p.Implied = steps(p.Next, since), implied(p.Type)
		return p
	}
	return p
}

// visible are the criteria by which resources of the type are visible.
func visible(t fhir.Type) []query.Leaf {
	if t == fhir.Provenance {
		target := implied("target", "true")
		target.Modifier = query.ImpliedVisible
		return []query.Leaf{target}
	}
	own, value := activity(t)
	return []query.Leaf{implied(own, value), implied(suppressedParam, "false")}
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
