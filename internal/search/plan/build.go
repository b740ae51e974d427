package plan

import (
	"fmt"
	"slices"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Build plans a query. References may be absolute URLs below base (no trailing
// slash); dates without a zone are read in loc. The error is fhir.Issues with
// all problems. Restrictions are not its matter: package policy checks first.
//
// Root is always an And with the criteria in the order of the query and
// visibility last.
func Build(reg *conformance.Registry, q query.Query, base string, loc *time.Location) (Plan, error) {
	b := builder{reg: reg, q: q, base: base, loc: loc}
	root := And{}
	var visible Visible
	for _, p := range q.Params {
		if l, ok := p.(query.Leaf); ok && l.Implied {
			visible.Active = visible.Active || l.Name != "suppressed"
			visible.NotSuppressed = visible.NotSuppressed || l.Name == "suppressed"
			continue
		}
		if node := b.param(p); node != nil {
			root = append(root, node)
		}
	}
	if visible != (Visible{}) {
		root = append(root, visible)
	}
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
	reg    *conformance.Registry
	q      query.Query
	base   string
	loc    *time.Location
	issues fhir.Issues
}

// param plans one criterion; nil if it is refused.
func (b *builder) param(p query.Param) Node {
	switch p := p.(type) {
	case query.Leaf:
		return b.leaf(p)
	case query.Is:
		return b.is(p)
	case query.Chain:
		return b.refuse(p.At, "follows a reference, and chains are not supported in filters: search by the reference itself, such as "+p.Ref+"=id")
	case query.Has:
		return b.refuse(p.At, "is a reverse chain, which is not supported in filters: search by the resource's own parameters, such as _id")
	default:
		return b.refuse(p.Where(), "is of a form that the planner does not know")
	}
}

func (b *builder) leaf(l query.Leaf) Node {
	p, ok := b.reg.Param(b.q.Type, l.Name)
	if !ok || p.Restricted != "" {
		return b.refuse(l.NameAt, fmt.Sprintf("is not a search parameter of %s in this directory", b.q.Type))
	}
	if l.Modifier != "" {
		return b.refuse(l.NameAt, fmt.Sprintf("has the modifier %q, which is not supported: write %s=… without it", l.Modifier, l.Name))
	}
	if p.Column && p.Code == "_id" {
		return b.ids(l)
	}
	read := b.reader(p)
	if read == nil {
		return b.refuse(l.NameAt, fmt.Sprintf("is of type %s, which filters cannot search by", p.Type))
	}
	var nodes Or
	for _, v := range l.Values {
		node, problem := read(p, v)
		if problem != "" {
			b.refuse(v.At, fmt.Sprintf("is no value for %s: %s", l.Name, problem))
			continue
		}
		nodes = append(nodes, node)
	}
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nodes
}

// reader is how values of a parameter are read: the one place that knows all
// parameter types. A new parameter of a known type is data only.
func (b *builder) reader(p conformance.Param) func(conformance.Param, query.Value) (Node, string) {
	switch p.Type {
	case conformance.Token:
		return b.token
	case conformance.String:
		return b.text
	case conformance.Date:
		return b.date
	case conformance.Reference:
		return b.reference
	case conformance.URI:
		return b.uri
	default:
		return nil
	}
}

// is plans the type test target.resolve().as(Type).
func (b *builder) is(i query.Is) Node {
	p, ok := b.reg.Param(b.q.Type, i.Ref)
	if !ok || p.Type != conformance.Reference {
		return b.refuse(i.At, fmt.Sprintf("tests %s, which is not a reference of %s in this directory", i.Ref, b.q.Type))
	}
	return Reference{Param: p.ID, Type: i.Type}
}

func (b *builder) refuse(at query.Span, problem string) Node {
	b.issues = append(b.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: b.q.Place(at) + " " + problem})
	return nil
}
