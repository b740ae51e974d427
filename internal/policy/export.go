package policy

import (
	"slices"

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

// ForSearch completes a checked question for a search, and for an export without
// _since: only what is visible is found (VI-01).
//
// It adds the implied criteria active=true (or status=active) and suppressed=false,
// each unless the client names the state on that axis (VI-04, VI-09, A-50). Steps of
// chains and reverse chains lead over visible resources alone, whatever state the
// criterion behind them names, so that nothing hidden can be inferred from what refers
// to it (VI-16, A-25). A Provenance is never inactive: it is found when it is not
// suppressed and all that it is about is visible (VI-14, A-24).
//
// The query given is not changed.
func ForSearch(q query.Query) query.Query {
	named := map[string]bool{}
	q.Params = stepped(q.Params, visible)
	for _, p := range q.Params {
		if l, ok := p.(query.Criterion); ok && (isState(l.Name) || l.Implied) {
			named[l.Name] = true
		}
	}
	for _, l := range visible(q.Type) {
		if !named[l.Name] {
			q.Params = append(q.Params, l)
		}
	}
	return q
}

// ForDelta completes a checked question for an export with _since: it takes out all
// state parameters of the client, whatever their modifiers (VI-10, VI-11); those
// within chains stay. Nothing is implied, unless the export is without suppressed
// resources: then neither what is found nor what steps lead over is suppressed, and a
// Provenance is found when nothing that it is about is suppressed or gone.
//
// The query given is not changed.
func ForDelta(q query.Query, withoutSuppressed bool) query.Query {
	implied := anyState
	if withoutSuppressed {
		implied = notSuppressed
	}
	q.Params = slices.DeleteFunc(stepped(q.Params, implied), func(p query.Param) bool {
		l, ok := p.(query.Criterion)
		return ok && (isState(l.Name) || l.Implied)
	})
	for _, l := range implied(q.Type) {
		q.Params = append(q.Params, l)
	}
	return q
}

// stepped returns a copy of the criteria with what each of their steps implies.
func stepped(params []query.Param, implied func(fhir.Type) []query.Criterion) []query.Param {
	var list []query.Param
	for _, p := range params {
		list = append(list, steps(p, implied))
	}
	return list
}

// steps returns the criterion with what each of its steps implies.
func steps(p query.Param, implied func(fhir.Type) []query.Criterion) query.Param {
	of := func(typeName string) []query.Criterion {
		t, _ := fhir.ParseType(typeName) // not written: any type but Provenance implies the same
		return implied(t)
	}
	switch p := p.(type) {
	case query.Chain:
		p.Next, p.Implied = steps(p.Next, implied), of(p.Type)
		return p
	case query.Has:
		p.Next, p.Implied = steps(p.Next, implied), of(p.Type)
		return p
	}
	return p
}

// visible are the criteria by which resources of the type are visible.
func visible(t fhir.Type) []query.Criterion {
	if t == fhir.Provenance {
		return []query.Criterion{allTargets(query.ImpliedVisible), implied(suppressedParam, "false")}
	}
	own, value := activity(t)
	return []query.Criterion{implied(own, value), implied(suppressedParam, "false")}
}

// notSuppressed are the criteria by which resources of the type are in any state but
// suppressed.
func notSuppressed(t fhir.Type) []query.Criterion {
	own := implied(suppressedParam, "false")
	if t == fhir.Provenance {
		return []query.Criterion{allTargets(query.ImpliedNotSuppressed), own}
	}
	return []query.Criterion{own}
}

// anyState implies nothing.
func anyState(fhir.Type) []query.Criterion { return nil }

// allTargets is an implied criterion on all that a Provenance is about.
func allTargets(modifier string) query.Criterion {
	target := implied("target", "true")
	target.Modifier = modifier
	return target
}

// activity is the criterion by which resources of the type are active (VI-03).
func activity(t fhir.Type) (name, value string) {
	if t == fhir.Location || t == fhir.Endpoint {
		return statusParam, "active"
	}
	return activeParam, "true"
}

func implied(name, value string) query.Criterion {
	return query.Criterion{Name: name, Values: []query.Value{{Parts: []string{value}}}, Implied: true}
}
