package bound

import (
	"slices"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Registry holds the definitions; [conformance.Registry] implements it.
type Registry interface {
	// Param looks up a search parameter of a type by its code or an alias.
	Param(t fhir.Type, code string) (conformance.Param, bool)
	// DottedAlias returns the code of the parameter that an alias with a dot names.
	DottedAlias(t fhir.Type, name string) (code string, ok bool)
	// Params returns the parameters of a type. It is called to describe a problem.
	Params(t fhir.Type) []conformance.Param
}

// Bind binds the names of q. The caller's query is not changed. The result asks for
// resources in any state: package policy sets the visibility.
func Bind(reg Registry, q query.Query) Query {
	bound := Query{Type: q.Type, Parsed: q}
	bound.Parsed.Params = make([]query.Param, len(q.Params))
	for n, p := range q.Params {
		b := binder{reg: reg}
		node := b.node([]fhir.Type{q.Type}, p)
		bound.Terms = append(bound.Terms, Term{Node: node, End: b.end, Problem: b.problem})
		bound.Parsed.Params[n] = node.Parsed()
	}
	return bound
}

// binder binds one term.
type binder struct {
	reg     Registry
	end     Node
	problem *Problem
}

// node binds a criterion on a resource of one of the types.
func (b *binder) node(types []fhir.Type, p query.Param) Node {
	switch p := p.(type) {
	case query.Chain:
		if joined, ok := b.join(types, p); ok {
			return b.node(types, joined)
		}
		return b.chain(types, p)
	case query.Has:
		return b.has(types, p)
	case query.TypeTest:
		b.end = b.typeTest(types, p)
	case query.Criterion:
		b.end = b.criterion(types, p)
	}
	return b.end
}

// join makes one name of a step and the name after it if the two are an alias with a dot:
// the grammar reads Provenance?agent.who=… as a chain.
func (b *binder) join(types []fhir.Type, step query.Chain) (query.Param, bool) {
	if step.Type != "" {
		return nil, false
	}
	switch next := step.Next.(type) {
	case query.Criterion:
		if code, ok := b.alias(types, step.Ref+"."+next.Name); ok {
			next.Name, next.NameAt.Start = code, step.NameAt.Start
			return next, true
		}
	case query.Chain:
		if code, ok := b.alias(types, step.Ref+"."+next.Ref); ok {
			next.Ref, next.NameAt.Start = code, step.NameAt.Start
			return next, true
		}
	}
	return nil, false
}

func (b *binder) alias(types []fhir.Type, name string) (string, bool) {
	for _, t := range types {
		if code, ok := b.reg.DottedAlias(t, name); ok {
			return code, true
		}
	}
	return "", false
}

// chain binds a step forward and what follows it.
func (b *binder) chain(types []fhir.Type, c query.Chain) Node {
	bound := Chain{Chain: c}
	var next []fhir.Type // of the resources that the step leads to
	for _, t := range types {
		p, ok := b.reg.Param(t, c.Ref)
		if targets := targets(p, c.Type); ok && len(targets) > 0 {
			bound.Steps = append(bound.Steps, Step{p, targets})
			next = union(next, targets)
		}
	}
	if len(next) == 0 {
		b.fail(c.NameAt, b.notAReference(types))
	}
	bound.Next = b.node(next, c.Next)
	bound.Chain.Next = bound.Next.Parsed()
	bound.Steps = slices.DeleteFunc(bound.Steps, func(s Step) bool { return !slices.ContainsFunc(s.Targets, bound.Next.binds) })
	for n := range bound.Steps {
		bound.Steps[n].Targets = slices.DeleteFunc(bound.Steps[n].Targets, func(t fhir.Type) bool { return !bound.Next.binds(t) })
	}
	return bound
}

// has binds a step backward and what follows it.
func (b *binder) has(types []fhir.Type, h query.Has) Node {
	bound := Has{Has: h}
	var next []fhir.Type
	if from, known := fhir.ParseType(h.Type); !known {
		b.fail(h.NameAt, notAType(h.Type))
	} else if p, ok := b.reg.Param(from, h.Ref); ok && slices.ContainsFunc(targets(p, ""), func(t fhir.Type) bool { return slices.Contains(types, t) }) {
		bound.From, bound.Param, bound.target = from, p, targets(p, "")
		next = []fhir.Type{from}
	} else {
		b.fail(h.NameAt, b.noReference(from, types))
	}
	bound.Next = b.node(next, h.Next)
	bound.Has.Next = bound.Next.Parsed()
	return bound
}

// typeTest binds the test of the type that a reference names.
func (b *binder) typeTest(types []fhir.Type, p query.TypeTest) Node {
	for _, t := range types {
		if param, ok := b.reg.Param(t, p.Ref); ok && param.Type == conformance.Reference {
			return TypeTest{TypeTest: p, Param: param}
		}
	}
	b.fail(p.At, notTestable(p.Ref, types))
	return TypeTest{TypeTest: p}
}

// criterion binds the end of a term.
func (b *binder) criterion(types []fhir.Type, p query.Criterion) Node {
	bound := Criterion{Criterion: p, Types: types}
	for _, t := range types {
		if param, ok := b.reg.Param(t, p.Name); ok {
			bound.Params = append(bound.Params, param)
		}
	}
	if len(bound.Params) == 0 {
		b.fail(p.NameAt, b.unknown(types))
	}
	for _, param := range bound.Params {
		switch {
		case param.Restricted != "":
			b.refuse(fhir.CodeNotSupported, p.NameAt, Restricted(param.Base, param.Restricted))
		case p.Modifier != "" && !param.Takes(p.Modifier):
			b.fail(p.NameAt, wrongModifier(p, param))
		}
	}
	return bound
}

// fail notes that the term is invalid.
func (b *binder) fail(at query.Span, text string) { b.refuse(fhir.CodeInvalid, at, text) }

// refuse notes the problem of the term, unless it has one already.
func (b *binder) refuse(code fhir.Code, at query.Span, text string) {
	if b.problem == nil {
		b.problem = &Problem{code, at, text}
	}
}

// targets returns the types that p may refer to, only the one called name unless name is
// empty. There are none if p is not a reference.
func targets(p conformance.Param, name string) []fhir.Type {
	if p.Type != conformance.Reference || p.Restricted != "" {
		return nil
	}
	return slices.DeleteFunc(p.Targets(), func(t fhir.Type) bool { return name != "" && name != t.String() })
}

// union appends the types that are not in dst.
func union(dst, types []fhir.Type) []fhir.Type {
	for _, t := range types {
		if !slices.Contains(dst, t) {
			dst = append(dst, t)
		}
	}
	return dst
}
