package plan

import (
	"fmt"
	"slices"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// MaxConditions is how many conditions a plan may have, each counted as often as it
// must be asked: once for each type that a reference may lead to. It keeps
// statements well within what the databases take (32,766 arguments, 500 selections
// in one).
const MaxConditions = 2000

// Settings are what the meaning of a query depends on beside its text.
type Settings struct {
	Base string         // of absolute references into the directory; no trailing slash
	Zone *time.Location // of dates without one
	Near float64        // distance in metres of a near without one
}

// DefaultNear is the distance of a near without one, in metres.
const DefaultNear = 5000

// Build plans a query. The error is fhir.Issues with all problems. Restrictions are
// not its matter: package policy checks first.
//
// Root is always an And with the criteria in the order of the query and visibility
// last.
func Build(reg *conformance.Registry, q query.Query, s Settings) (Plan, error) {
	if s.Near == 0 {
		s.Near = DefaultNear
	}
	b := builder{reg: reg, q: q, set: s}
	root := And{}
	var implied []query.Criterion
	for _, p := range q.Params {
		if l, ok := p.(query.Criterion); ok && l.Implied {
			implied = append(implied, l)
			continue
		}
		if node := b.param(q.Type, p); node != nil {
			root = append(root, node)
		}
	}
	root = append(root, b.visible(q.Type, implied)...)
	if err := b.issues.Err(); err != nil {
		return Plan{}, err
	}
	return Plan{Type: q.Type, Root: root}, nil
}

// With returns the plan narrowed by one more condition.
func (p Plan) With(n Node) Plan {
	root, ok := p.Root.(And)
	if !ok {
		root = And{p.Root}
	}
	p.Root = append(slices.Clip(root), n)
	return p
}

type builder struct {
	reg        *conformance.Registry
	q          query.Query
	set        Settings
	issues     fhir.Issues
	conditions int
}

// param plans one criterion that a resource of type t must meet; nil if it is refused.
func (b *builder) param(t fhir.Type, p query.Param) Node {
	switch p := p.(type) {
	case query.Criterion:
		return b.leaf(t, p)
	case query.TypeTest:
		return b.is(t, p)
	case query.Chain:
		return b.chain(t, p)
	case query.Has:
		return b.has(t, p)
	default:
		return b.refuse(p.Where(), "is of a form that the planner does not know")
	}
}

// is plans the type test target.resolve().as(Type).
func (b *builder) is(t fhir.Type, i query.TypeTest) Node {
	p, ok := b.reg.Param(t, i.Ref)
	if !ok || p.Type != conformance.Reference {
		return b.refuse(i.At, fmt.Sprintf("tests %s, which is not a reference of %s in this directory", i.Ref, t))
	}
	return Reference{Param: p.ID, Type: i.Type}
}

// refuse notes a problem, once if a piece is planned for several types.
func (b *builder) refuse(at query.Span, problem string) Node {
	issue := fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: b.q.Place(at) + " " + problem}
	if !slices.ContainsFunc(b.issues, func(i fhir.Issue) bool { return i.Diagnostics == issue.Diagnostics }) {
		b.issues = append(b.issues, issue)
	}
	return nil
}

// count takes conditions from those that a plan may have.
func (b *builder) count(n int, at query.Span) bool {
	if b.conditions += n; b.conditions <= MaxConditions {
		return true
	}
	b.refuse(at, fmt.Sprintf("would make more than %d conditions of this search: name the types behind references, or split the search into several", MaxConditions))
	return false
}
