package bound

import (
	"slices"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Query is a query whose names are bound to definitions. A resource must be of Type, meet
// all Terms and have the state that Visibility asks for.
type Query struct {
	Type       fhir.Type
	Terms      []Term
	Visibility Visibility

	// Parsed is the query as the client wrote it, in which aliases with a dot have the
	// names of their definitions.
	Parsed query.Query
}

// Term is one of the criteria of a query, which are joined by AND (SR-03).
type Term struct {
	Node
	End     Node     // the [Criterion] or [TypeTest] at the end of the steps; Node itself without steps
	Problem *Problem // why the term cannot be bound; nil if it can

	// Ignored terms do not restrict the query, but their values are checked like others.
	Ignored bool
}

// Problem is what is wrong with a name, and its place in the text of the client.
type Problem struct {
	Code fhir.Code
	At   query.Span
	Text string // "is not …: use …"
}

// Node is a node of the tree: a [Criterion], [Chain], [Has] or [TypeTest].
type Node interface {
	// Parsed returns the node of the parsed query.
	Parsed() query.Param
	// binds reports whether resources of type t can be asked the criterion.
	binds(t fhir.Type) bool
}

// Criterion compares a search parameter with values.
type Criterion struct {
	query.Criterion
	Types  []fhir.Type         // that the resource may have; none after a step that leads nowhere
	Params []conformance.Param // the definitions of the name, at most one for each of Types
}

// Chain follows a reference of the resource.
type Chain struct {
	query.Chain
	Steps []Step // one for each type whose reference leads to a resource that can be asked Next
	Next  Node
}

// Step is the reference of one type that a chain follows, and where it leads.
type Step struct {
	Param   conformance.Param
	Targets []fhir.Type // those that can be asked what follows the step
}

// Has follows a reference backwards, from resources of type From.
type Has struct {
	query.Has
	From   fhir.Type
	Param  conformance.Param // a reference of From
	Next   Node
	target []fhir.Type // that Param leads to
}

// TypeTest tests which type a reference names.
type TypeTest struct {
	query.TypeTest
	Param conformance.Param
}

// Parsed implements [Node].
func (c Criterion) Parsed() query.Param { return c.Criterion }

// Parsed implements [Node].
func (c Chain) Parsed() query.Param { return c.Chain }

// Parsed implements [Node].
func (h Has) Parsed() query.Param { return h.Has }

// Parsed implements [Node].
func (t TypeTest) Parsed() query.Param { return t.TypeTest }

func (c Criterion) binds(t fhir.Type) bool {
	p, ok := c.Param(t)
	return ok && p.Restricted == ""
}

func (c Chain) binds(t fhir.Type) bool {
	_, ok := c.Step(t)
	return ok
}

func (h Has) binds(t fhir.Type) bool {
	return slices.Contains(h.target, t) && h.Next.binds(h.From)
}

func (t TypeTest) binds(of fhir.Type) bool { return t.Param.Base == of }

// Param returns the definition of the criterion for resources of type t.
func (c Criterion) Param(t fhir.Type) (conformance.Param, bool) {
	for _, p := range c.Params {
		if p.Base == t {
			return p, true
		}
	}
	return conformance.Param{}, false
}

// Step returns the reference that the chain follows from resources of type t.
func (c Chain) Step(t fhir.Type) (Step, bool) {
	for _, s := range c.Steps {
		if s.Param.Base == t {
			return s, true
		}
	}
	return Step{}, false
}
