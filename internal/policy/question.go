package policy

import (
	"fmt"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Check refuses what may not stand in a filter: see [CheckCriterion], and a
// query without any parameter that narrows the search (SR-10..12, KO-30, KO-31).
// It returns all issues, none for a sound query. Values and what the planner
// supports are not its matter, but for empty values.
func Check(reg *conformance.Registry, q query.Query) fhir.Issues {
	var issues fhir.Issues
	for _, p := range q.Params {
		issues = append(issues, CheckCriterion(reg, q, p)...)
	}
	if !narrows(q) {
		issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(
			"At least one non-state search parameter with a non-empty value must be provided for %s; to ask for all, write %s?_lastUpdated=ge1900-01-01",
			q.Type, q.Type)})
	}
	return issues
}

// CheckCriterion refuses one criterion of q if it names, at any step of a chain,
// an unknown parameter (SR-20, SR-22, SR-34), one that is restricted for privacy
// (SR-30..33), one that has no place in a filter (KO-32, KO-33, SR-21, SR-25),
// or has an empty value. It returns no issues for a sound criterion.
func CheckCriterion(reg *conformance.Registry, q query.Query, p query.Param) fhir.Issues {
	c := checker{reg: reg, q: q}
	c.param([]fhir.Type{q.Type}, p)
	return c.issues
}

// checker walks one criterion. The types it passes along are those that the
// resource at a step may have: a chain through Provenance.target has six.
type checker struct {
	reg    *conformance.Registry
	q      query.Query
	issues fhir.Issues
}

func (c *checker) param(types []fhir.Type, p query.Param) {
	switch p := p.(type) {
	case query.Criterion:
		c.leaf(types, p)
	case query.Chain:
		if next := c.forward(types, p); next != nil {
			c.param(next, p.Next)
		}
	case query.Has:
		if next := c.back(types, p); next != nil {
			c.param(next, p.Next)
		}
	case query.TypeTest: // the parser takes it in its one sound form only
	}
}

func (c *checker) leaf(types []fhir.Type, l query.Criterion) {
	if code, problem := outOfPlace(l.Name); problem != "" {
		c.refuse(code, l.NameAt, problem)
		return
	}
	for _, t := range types {
		if problem := restriction(c.reg, t, l); problem != "" {
			c.refuse(fhir.CodeNotSupported, l.NameAt, problem)
			return
		}
	}
	if !c.known(types, l.Name) {
		c.refuse(fhir.CodeInvalid, l.NameAt, c.unknown(types))
		return
	}
	for _, v := range l.Values {
		if empty(v) {
			c.refuse(fhir.CodeInvalid, l.At, "has an empty value: give it one, or leave the comma or the parameter out")
			return
		}
	}
}

// outOfPlace says what is wrong with a parameter that FHIR knows but that is no
// criterion, and whether the guide calls it unsupported or invalid.
func outOfPlace(name string) (fhir.Code, string) {
	switch name {
	case "_include", "_revinclude":
		return fhir.CodeNotSupported, "is not allowed in a filter: export the other type with a filter of its own"
	case "_sort", "_count", "_elements", "_summary", "_total", "_format", "_pretty":
		return fhir.CodeInvalid, "shapes the answer of a search and is no criterion: leave it out here"
	case "_getpages", "_getpagesoffset", "_bundletype":
		return fhir.CodeInvalid, "belongs to the links between the pages of a search and is no criterion: leave it out here"
	case "_filter", "_text", "_content", "_list", "_query", "_contained", "_type":
		return fhir.CodeInvalid, "is not offered by this directory: write the criteria as parameters of the type"
	case "_has":
		return fhir.CodeInvalid, "needs a type, a reference and a parameter: write _has:PractitionerRole:practitioner:identifier=…"
	default:
		return "", ""
	}
}

func (c *checker) known(types []fhir.Type, code string) bool {
	for _, t := range types {
		if _, ok := c.reg.Param(t, code); ok {
			return true
		}
	}
	return false
}

// unknown is the sentence about a name that no type at hand knows.
func (c *checker) unknown(types []fhir.Type) string {
	if len(types) != 1 {
		return fmt.Sprintf("is not a search parameter of any of %s in this directory: name the type behind the reference, such as target:Practitioner", fhir.Names(types))
	}
	var codes []string
	for _, p := range c.reg.Params(types[0]) {
		if p.Restricted == "" {
			codes = append(codes, p.Code)
		}
	}
	return fmt.Sprintf("is not a search parameter of %s in this directory: use one of %s", types[0], strings.Join(codes, ", "))
}

// forward returns the types that a chain's step leads to, nil if it is refused.
func (c *checker) forward(types []fhir.Type, step query.Chain) []fhir.Type {
	next := behind(c.reg, types, step)
	if len(next) == 0 {
		c.refuse(fhir.CodeInvalid, step.NameAt, fmt.Sprintf("is not a reference from %s that a chain can follow: %s", fhir.Names(types), c.references(types)))
		return nil
	}
	return next
}

// back returns the type that a reverse chain's step leads to, nil if it is refused.
func (c *checker) back(types []fhir.Type, step query.Has) []fhir.Type {
	from, ok := fhir.ParseType(step.Type)
	if !ok {
		c.refuse(fhir.CodeInvalid, step.NameAt, fmt.Sprintf("asks for %s, which is not a type of this directory: use one of %s", step.Type, fhir.Names(fhir.Types())))
		return nil
	}
	if p, ok := c.reg.Param(from, step.Ref); ok && p.Type == conformance.Reference {
		for _, t := range types {
			if len(targets(p, t.String())) > 0 {
				return []fhir.Type{from}
			}
		}
	}
	c.refuse(fhir.CodeInvalid, step.NameAt, fmt.Sprintf("names no reference from %s to %s: %s", from, fhir.Names(types), c.references([]fhir.Type{from})))
	return nil
}

// behind are the types that a chain's step leads to from resources of these types.
func behind(reg *conformance.Registry, types []fhir.Type, step query.Chain) []fhir.Type {
	var next []fhir.Type
	for _, t := range types {
		if p, ok := reg.Param(t, step.Ref); ok && p.Type == conformance.Reference {
			next = append(next, targets(p, step.Type)...)
		}
	}
	return next
}

// targets are the types that p may point to, only those called name unless that
// is empty.
func targets(p conformance.Param, name string) []fhir.Type {
	var types []fhir.Type
	for _, target := range p.Target {
		if t, ok := fhir.ParseType(target); ok && (name == "" || name == target) {
			types = append(types, t)
		}
	}
	return types
}

// references tells the way out of a wrong step.
func (c *checker) references(types []fhir.Type) string {
	var all []string
	for _, t := range types {
		for _, p := range c.reg.Params(t) {
			if p.Type == conformance.Reference {
				all = append(all, fmt.Sprintf("%s (to %s)", p.Code, strings.Join(p.Target, ", ")))
			}
		}
	}
	if len(all) == 0 {
		return "it has none in this directory"
	}
	return "use one of " + strings.Join(all, ", ")
}

func (c *checker) refuse(code fhir.Code, at query.Span, problem string) {
	c.issues = append(c.issues, fhir.Issue{Code: code, Diagnostics: c.q.Place(at) + " " + problem})
}

// narrows reports whether the query has a substantive parameter (SR-10). By the
// letter of the guide that is any but system, result and state parameters:
// whether it is known or allowed is another matter, with an issue of its own.
func narrows(q query.Query) bool {
	for _, p := range q.Params {
		l, isLeaf := p.(query.Criterion)
		if !isLeaf {
			return true // chains, reverse chains (SR-11) and the type test
		}
		if isSystem(l.Name) || isState(l.Name) {
			continue
		}
		for _, v := range l.Values {
			if !empty(v) {
				return true
			}
		}
	}
	return false
}

// isSystem reports whether FHIR's own parameters have the name: they narrow nothing,
// but for _id and _lastUpdated (SR-11, SR-12).
func isSystem(name string) bool {
	return strings.HasPrefix(name, "_") && name != "_id" && name != "_lastUpdated"
}

func empty(v query.Value) bool {
	return strings.TrimSpace(strings.Join(v.Parts, "")) == ""
}
