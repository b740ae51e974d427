package policy

import (
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Resolve gives each parameter whose other name holds a dot the name that the
// definitions use. The grammar takes the dot in Provenance?agent.who=… for a step
// of a chain; only who knows the parameters knows better. Everything else
// stays as it was read, and resolving twice changes nothing. It comes before all
// other rules.
func Resolve(reg *conformance.Registry, q query.Query) query.Query {
	params := make([]query.Param, len(q.Params))
	for n, p := range q.Params {
		params[n] = resolve(reg, []fhir.Type{q.Type}, p)
	}
	q.Params = params
	return q
}

// resolve walks one criterion; types are those that the resource at hand may have.
func resolve(reg *conformance.Registry, types []fhir.Type, p query.Param) query.Param {
	switch p := p.(type) {
	case query.Has:
		if from, ok := fhir.ParseType(p.Type); ok {
			p.Next = resolve(reg, []fhir.Type{from}, p.Next)
		}
		return p
	case query.Chain:
		if whole, ok := joined(reg, types, p); ok {
			return resolve(reg, types, whole)
		}
		p.Next = resolve(reg, behind(reg, types, p), p.Next)
		return p
	}
	return p
}

// joined makes one parameter of a step and the name behind it, if that is an alias.
func joined(reg *conformance.Registry, types []fhir.Type, step query.Chain) (query.Param, bool) {
	if step.Type != "" {
		return nil, false
	}
	switch next := step.Next.(type) {
	case query.Criterion:
		if code, ok := dotted(reg, types, step.Ref+"."+next.Name); ok {
			next.Name, next.NameAt.Start = code, step.NameAt.Start
			return next, true
		}
	case query.Chain:
		if code, ok := dotted(reg, types, step.Ref+"."+next.Ref); ok {
			next.Ref, next.NameAt.Start = code, step.NameAt.Start
			return next, true
		}
	}
	return nil, false
}

// dotted finds the parameter that a name with a dot is another name of.
func dotted(reg *conformance.Registry, types []fhir.Type, name string) (string, bool) {
	for _, t := range types {
		if p, ok := reg.Param(t, name); ok {
			return p.Code, true
		}
	}
	return "", false
}
