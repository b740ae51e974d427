package plan

import (
	"fmt"
	"slices"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

// MaxConditions is how many conditions a plan may have. A condition behind a reference
// counts once for each type that the reference may lead to. The limit keeps statements well
// within those of the databases (32,766 arguments, 500 subqueries).
const MaxConditions = 2000

// Settings are what the meaning of a query depends on besides its text.
type Settings struct {
	Bases []string       // base URLs of the directory, without a trailing slash
	Zone  *time.Location // of dates without a zone
	Near  float64        // metres of a near without a distance. Defaults to DefaultNear

	// Target is the reference by which a Provenance names what it is about (VI-14).
	Target conformance.Param
}

// DefaultNear is the default of Settings.Near.
const DefaultNear = 5000

// Build plans a bound query whose terms package policy has let pass. The error is
// fhir.Issues with all values that it cannot read, and with the term that makes the plan
// too large. Terms that could not be bound are refused with their problem: no term is left
// out of a plan.
//
// Root is always an And with the terms in the order of the query and visibility last.
func Build(q bound.Query, s Settings) (Plan, error) {
	if s.Near == 0 {
		s.Near = DefaultNear
	}
	b := builder{q: q, set: s}
	root := And{}
	for _, term := range q.Terms {
		if p := term.Problem; p != nil {
			b.issues = append(b.issues, fhir.Issue{Code: p.Code, Diagnostics: q.Parsed.Place(p.At) + " " + p.Text})
			continue
		}
		if node := b.node(q.Type, term.Node); node != nil && !term.Ignored {
			root = append(root, node)
		}
	}
	root = append(root, b.visible(q.Type, q.Visibility.Found)...)
	if err := b.issues.Err(); err != nil {
		return Plan{}, err
	}
	return Plan{Type: q.Type, Root: root}, nil
}

// With returns the plan with one more condition.
func (p Plan) With(n Node) Plan {
	root, ok := p.Root.(And)
	if !ok {
		root = And{p.Root}
	}
	p.Root = append(slices.Clip(root), n)
	return p
}

type builder struct {
	q          bound.Query
	set        Settings
	issues     fhir.Issues
	conditions int
}

// node plans a criterion on resources of type t. It returns nil if it refuses the criterion.
func (b *builder) node(t fhir.Type, n bound.Node) Node {
	switch n := n.(type) {
	case bound.Criterion:
		return b.criterion(t, n)
	case bound.TypeTest: // target.resolve().as(Type)
		return Reference{Param: n.Param.ID, Type: n.Type}
	case bound.Chain:
		return b.chain(t, n)
	case bound.Has:
		return b.has(n)
	}
	return nil
}

// refuse adds a problem, once if a value is planned for several types.
func (b *builder) refuse(at query.Span, problem string) Node {
	issue := fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: b.q.Parsed.Place(at) + " " + problem}
	if !slices.ContainsFunc(b.issues, func(i fhir.Issue) bool { return i.Diagnostics == issue.Diagnostics }) {
		b.issues = append(b.issues, issue)
	}
	return nil
}

// count adds n conditions, and reports whether the plan is still within the limit.
func (b *builder) count(n int, at query.Span) bool {
	if b.conditions += n; b.conditions <= MaxConditions {
		return true
	}
	b.refuse(at, fmt.Sprintf("needs more than %d conditions: name the types behind references, or split the search into several", MaxConditions))
	return false
}
