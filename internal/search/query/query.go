package query

import (
	"slices"
	"strings"

	"muster/internal/fhir"
)

// Query is one search: the criteria that a resource of Type must all meet. It is a closed
// tree, parsed from "Type?name=value&…", in which each node has its place in the text.
type Query struct {
	Type   fhir.Type
	Params []Param // joined by AND (SR-03)
	Source string  // the client's text, to which Spans refer; empty if the query was not parsed
}

// Span is a piece of the client's text, in bytes from its start.
type Span struct{ Start, End int }

// Param is one criterion: a [Criterion], [Chain], [Has] or [TypeTest].
type Param interface {
	// Where returns the place of the whole criterion in the client's text.
	Where() Span
	// String returns the criterion as canonical text.
	String() string
	param()
}

// Criterion is a search parameter with its values. Name, modifier and values are as the
// client wrote them, with percent-escapes and backslash escapes decoded.
type Criterion struct {
	Name     string
	Modifier string  // without the colon; empty for none
	Values   []Value // joined by OR (SR-03); at least one
	NameAt   Span
	At       Span
}

// Value is one alternative of a Criterion. Parts is the text split at unescaped vertical
// bars: one part for 'code', two for 'system|code'.
type Value struct {
	Parts []string
	At    Span
}

// Empty reports whether the client wrote no value, or one of bars and spaces alone.
func (v Value) Empty() bool { return strings.TrimSpace(strings.Join(v.Parts, "")) == "" }

// Empty reports whether all values are empty: the criterion asks for nothing.
func (l Criterion) Empty() bool {
	return !slices.ContainsFunc(l.Values, func(v Value) bool { return !v.Empty() })
}

// Chain follows a reference parameter forward, and the referenced resource must meet Next:
// location.address-city=, organization:Organization.name=.
type Chain struct {
	Ref    string // code of a reference parameter
	Type   string // type after the colon, or empty
	Next   Param
	NameAt Span // of Ref and Type
	At     Span
}

// Has follows a reference backward: a resource of Type must refer to the resource by its
// reference parameter Ref and meet Next. _has:PractitionerRole:practitioner:role= is one.
type Has struct {
	Type   string
	Ref    string
	Next   Param
	NameAt Span // of _has, Type and Ref
	At     Span
}

// TypeTest requires that the reference parameter Ref refers to a resource of Type. Its only
// written form is Provenance?target.resolve().as(Type).
type TypeTest struct {
	Ref  string
	Type string
	At   Span
}

func (Criterion) param() {}
func (Chain) param()     {}
func (Has) param()       {}
func (TypeTest) param()  {}

// Where implements [Param].
func (l Criterion) Where() Span { return l.At }

// Where implements [Param].
func (c Chain) Where() Span { return c.At }

// Where implements [Param].
func (h Has) Where() Span { return h.At }

// Where implements [Param].
func (i TypeTest) Where() Span { return i.At }
