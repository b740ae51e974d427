package policy

import (
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

// SearchRules are the answers of an operator to questions about searches that the
// guide leaves open.
type SearchRules struct {
	// RequireSubstantive refuses a search without a parameter that narrows it
	// (SR-10, A-20). Filters of exports always need one (SR-13).
	RequireSubstantive bool
}

// CheckSearch refuses what may not be asked in a search: what [Check] refuses in a
// filter, as far as the rules say so. The query holds criteria only; what shapes the
// answer is taken out before.
func CheckSearch(reg *conformance.Registry, q query.Query, r SearchRules) fhir.Issues {
	if r.RequireSubstantive {
		return Check(reg, q)
	}
	var issues fhir.Issues
	for _, p := range q.Params {
		issues = append(issues, CheckCriterion(reg, q, p)...)
	}
	return issues
}

// Restriction says why a parameter of a type may not be named, such as in _sort or in an
// include: the order of an answer would tell what the answer does not (SR-33). It
// is empty if the parameter is not restricted.
func Restriction(reg *conformance.Registry, t fhir.Type, name string) string {
	return restriction(reg, t, query.Criterion{Name: name})
}

// Readable reports whether a resource in this state may be read by its id, and come
// with others through _include and _revinclude (VI-02, VI-08). Of a Provenance the
// state alone does not tell: see [ForSearch].
func Readable(state index.Visibility) bool { return state&(index.Inactive|index.Suppressed) == 0 }
