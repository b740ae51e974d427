package policy

import (
	"slices"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Suppressed says what one client may learn of suppressed resources. Each value
// allows what the values before it allow; the zero value allows nothing.
type Suppressed uint8

// The values.
const (
	// SuppressedHidden: the client may not ask for them, and its deltas leave them out.
	SuppressedHidden Suppressed = iota
	// SuppressedInDeltas: the client may not ask for them, but its deltas hold them (VI-10).
	SuppressedInDeltas
	// SuppressedOffered: the client may ask for them, and its deltas hold them.
	SuppressedOffered
)

// SuppressedRules are an operator's answers to the question of who may learn of
// suppressed resources. The zero value is the strictest.
type SuppressedRules struct {
	Search bool // clients may ask for them
	Local  bool // the server is reached from this machine alone
}

// For returns what one client may learn. This is the one place that decides it.
func (r SuppressedRules) For(authenticated bool) Suppressed {
	switch {
	case !r.Local && !authenticated:
		return SuppressedHidden
	case !r.Search:
		return SuppressedInDeltas
	}
	return SuppressedOffered
}

// MayBeAskedFor reports whether the client may ask for suppressed resources.
func (s Suppressed) MayBeAskedFor() bool { return s >= SuppressedOffered }

// InDeltas reports whether exports with _since hold suppressed resources.
func (s Suppressed) InDeltas() bool { return s >= SuppressedInDeltas }

// Check refuses each criterion that asks for suppressed resources, where the client
// may not. A criterion asks for them when it names the parameter suppressed, also
// behind the steps of chains and reverse chains, with a modifier or with any value but
// false: a step tells of the resource behind it.
func (s Suppressed) Check(reg *conformance.Registry, q query.Query) (issues fhir.Issues) {
	if s.MayBeAskedFor() {
		return nil
	}
	for _, p := range q.Params {
		if l, ok := asksForSuppressed(reg, []fhir.Type{q.Type}, p); ok {
			issues = append(issues, fhir.Issue{Code: fhir.CodeForbidden, Diagnostics: q.Place(l.NameAt) +
				" asks for suppressed resources, which this client may not ask for: write suppressed=false, or leave the parameter out"})
		}
	}
	return issues
}

// asksForSuppressed returns the end of a criterion, and whether it asks for suppressed
// resources. types are those that the resource at hand may have.
func asksForSuppressed(reg *conformance.Registry, types []fhir.Type, p query.Param) (query.Criterion, bool) {
	switch p := p.(type) {
	case query.Criterion:
		return p, namesSuppressed(reg, types, p.Name) && (p.Modifier != "" || slices.ContainsFunc(p.Values, isNotFalse))
	case query.Chain:
		return asksForSuppressed(reg, behind(reg, types, p), p.Next)
	case query.Has:
		from, _ := fhir.ParseType(p.Type) // of an unknown type the name alone counts
		return asksForSuppressed(reg, []fhir.Type{from}, p.Next)
	}
	return query.Criterion{}, false
}

// namesSuppressed reports whether a name, or another name of it, is the parameter
// suppressed of one of the types.
func namesSuppressed(reg *conformance.Registry, types []fhir.Type, name string) bool {
	return name == suppressedParam || slices.ContainsFunc(types, func(t fhir.Type) bool {
		p, ok := reg.Param(t, name)
		return ok && p.Code == suppressedParam
	})
}

func isNotFalse(v query.Value) bool { return len(v.Parts) != 1 || v.Parts[0] != "false" }
