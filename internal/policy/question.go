package policy

import (
	"slices"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

// FilterRules are an operator's switches for filters of exports.
type FilterRules struct {
	// RefuseTypeTest refuses Provenance?target.resolve().as(Type), the form of the
	// guide's example. Defaults to false.
	RefuseTypeTest bool
}

// SearchRules are an operator's switches for searches that the guide leaves open.
type SearchRules struct {
	// RequireSubstantive refuses a search without a parameter that narrows it
	// (SR-10, A-20). Filters of exports always need one (SR-13).
	RequireSubstantive bool
}

// CheckFilter refuses the terms of q that a filter of an export must not have, and a
// filter without any parameter that narrows it (SR-10..13, KO-30, KO-31). It returns q
// with the terms that it lets pass, and an issue for each refusal, none for a query that
// may be asked. Of values it checks only that they are not empty (SR-26).
//
// A term is refused if it names, at any step of a chain, an unknown parameter (SR-20,
// SR-22, SR-34) or one that is restricted for privacy (SR-30..33), if it is not a criterion
// (KO-32, KO-33, SR-21, SR-25), or if it has an empty value. A term that asks for
// suppressed resources that the client may not see, or leads to types that it does not reach, has
// an issue with the code forbidden, and passes otherwise.
func CheckFilter(q bound.Query, r FilterRules, may Access) (bound.Query, fhir.Issues) {
	return check(q, may, checks{refuseTypeTest: r.RefuseTypeTest, refuseEmpty: true, requireSubstantive: true})
}

// CheckSearch refuses what a search must not have: what [CheckFilter] refuses, and a
// search without a parameter that narrows it only if the rules say so. It leaves out a term
// without any value, as FHIR demands of searches: empty fields of a form ask for nothing. In
// a filter such a term is an error, since leaving it out would widen the export (SR-26). The
// terms of q are criteria only, without parameters that shape the response.
func CheckSearch(q bound.Query, r SearchRules, may Access) (bound.Query, fhir.Issues) {
	return check(q, may, checks{requireSubstantive: r.RequireSubstantive})
}

// checks are the rules in which filters and searches differ.
type checks struct{ refuseTypeTest, refuseEmpty, requireSubstantive bool }

func check(q bound.Query, may Access, c checks) (bound.Query, fhir.Issues) {
	var issues fhir.Issues
	if missing, ok := fhir.AsIssues(may.Check(fhir.TypesOf(q.Type))); ok {
		issues = append(issues, missing...)
	}
	refuse := func(code fhir.Code, at query.Span, problem string) {
		issues = append(issues, fhir.Issue{Code: code, Diagnostics: q.Parsed.Place(at) + " " + problem})
	}
	allowed := q
	allowed.Terms, allowed.Parsed.Params = nil, nil
	for n, t := range q.Terms {
		if at, problem := may.beyond(t.Node); problem != "" {
			issues = append(issues, fhir.Issue{Code: fhir.CodeForbidden, Reason: fhir.ScopeMissing, Diagnostics: q.Parsed.Place(at) + " " + problem})
		}
		if at, asks := may.Suppressed.refuses(t); asks {
			refuse(fhir.CodeForbidden, at, "asks for suppressed resources, which this client may not ask for: write suppressed=false, or leave the parameter out")
		}
		if code, at, problem := refusal(t, c); problem != "" {
			refuse(code, at, problem)
			continue
		}
		if !valueless(t) {
			allowed.Terms = append(allowed.Terms, t)
			allowed.Parsed.Params = append(allowed.Parsed.Params, q.Parsed.Params[n])
		}
	}
	if c.requireSubstantive && !slices.ContainsFunc(q.Terms, narrows) {
		issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "At least one non-state search parameter with a non-empty value must be provided for " +
			q.Type.String() + "; to ask for all, write " + q.Type.String() + "?_lastUpdated=ge1900-01-01"})
	}
	return allowed, issues
}

// refusal returns the first reason why no client may ask the term; the text is empty if
// there is none.
func refusal(t bound.Term, c checks) (code fhir.Code, at query.Span, problem string) {
	end, isCriterion := t.End.(bound.Criterion)
	switch {
	case !isCriterion && c.refuseTypeTest:
		return fhir.CodeInvalid, t.Node.Parsed().Where(), "is not a search parameter, and this server does not accept it: use a search parameter, such as target"
	case !isCriterion || len(end.Types) == 0: // a step leads nowhere
		return wrong(t.Problem)
	}
	if code, problem := outOfPlace(end.Name); problem != "" {
		return code, end.NameAt, problem
	}
	for _, typ := range end.Types {
		p, _ := end.Param(typ)
		if problem := restriction(typ, p, end.Criterion); problem != "" {
			return fhir.CodeNotSupported, end.NameAt, problem
		}
	}
	if t.Problem != nil {
		return wrong(t.Problem)
	}
	if slices.ContainsFunc(end.Values, query.Value.Empty) && (c.refuseEmpty || !end.Empty()) {
		return fhir.CodeInvalid, end.At, "has an empty value: give it one, or leave the comma or the parameter out"
	}
	return "", query.Span{}, ""
}

// valueless reports whether the term has no value at all.
func valueless(t bound.Term) bool {
	end, ok := t.End.(bound.Criterion)
	return ok && end.Empty()
}

func wrong(p *bound.Problem) (code fhir.Code, at query.Span, problem string) {
	if p == nil {
		return "", query.Span{}, ""
	}
	return p.Code, p.At, p.Text
}

// outOfPlace refuses a parameter that FHIR defines but that is not a criterion. The guide
// calls some of them unsupported and the others invalid. The text is empty for other names.
func outOfPlace(name string) (fhir.Code, string) {
	switch name {
	case "_include", "_revinclude":
		return fhir.CodeNotSupported, "is not allowed in a filter: export the other type with a filter of its own"
	case "_sort", "_count", "_elements", "_summary", "_total", "_format", "_pretty":
		return fhir.CodeInvalid, "shapes the response of a search and is not a criterion: leave it out here"
	case "_getpages", "_getpagesoffset", "_bundletype":
		return fhir.CodeInvalid, "belongs to the links between the pages of a search and is not a criterion: leave it out here"
	case "_filter", "_text", "_content", "_list", "_query", "_contained", "_type":
		return fhir.CodeInvalid, "is not offered by this directory: write the criteria as parameters of the type"
	case "_has":
		return fhir.CodeInvalid, "needs a type, a reference and a parameter: write _has:PractitionerRole:practitioner:identifier=…"
	default:
		return "", ""
	}
}

// narrows reports whether the term has a substantive parameter with a value (SR-10):
// chains, reverse chains (SR-11) and the type test do. Whether the parameter is
// known or allowed has an issue of its own.
func narrows(t bound.Term) bool {
	c, ok := t.Node.(bound.Criterion)
	return !valueless(t) && (!ok || role(c) == conformance.Substantive)
}

// role returns what a criterion counts for. By the letter of the guide, names without a
// definition count like those with one: names that begin with an underscore narrow
// nothing, nor do the names of state parameters (SR-11, SR-12).
func role(c bound.Criterion) conformance.Role {
	switch {
	case len(c.Params) > 0:
		return c.Params[0].Role
	case strings.HasPrefix(c.Name, "_"):
		return conformance.System
	case isState(c.Name):
		return conformance.State
	}
	return conformance.Substantive
}
