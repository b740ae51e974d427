package query

import "muster/internal/fhir"

// Query is one search: the criteria that a resource of Type must all meet. It
// is the parsed form of a _typeFilter ("Type?name=value&…"), a closed tree that
// prints back to canonical search text and knows where each piece stood.
//
// Queries are values of one request; nothing changes them after parsing but
// package policy, which returns a changed copy.
type Query struct {
	Type   fhir.Type
	Params []Param // joined by AND (SR-03)
	Source string  // the user's text, which every Span cuts; empty for a query made by hand
}

// Span is a piece of the user's text, in bytes from its start. Criteria that
// the policy adds have no place in it: their Span is the zero Span.
type Span struct{ Start, End int }

// Param is one criterion: a [Criterion], [Chain], [Has] or [TypeTest].
type Param interface {
	// Where is the place of the whole criterion in the user's text.
	Where() Span
	// String prints the criterion as canonical search text.
	String() string
	param()
}

// Criterion is a search parameter of the type at hand with its values: name, modifier
// and values as written, with percent-escapes and backslash escapes undone.
type Criterion struct {
	Name     string
	Modifier string  // without the colon; empty for none
	Values   []Value // joined by OR (SR-03); at least one
	NameAt   Span
	At       Span
}

// Value is one alternative of a Criterion. Parts holds the text cut at unescaped
// vertical bars: one part for 'code', two for 'system|code'.
type Value struct {
	Parts []string
	At    Span
}

// Chain follows a reference parameter of the type at hand and puts Next to the
// resource behind it: location.address-city=, organization:Organization.name=.
type Chain struct {
	Ref    string // code of a reference parameter
	Type   string // type written after the colon, or empty
	Next   Param
	NameAt Span // of Ref and Type
	At     Span
}

// Has asks for a resource of Type that points back through its reference
// parameter Ref and meets Next: _has:PractitionerRole:practitioner:role=.
type Has struct {
	Type   string
	Ref    string
	Next   Param
	NameAt Span // of _has, Type and Ref
	At     Span
}

// TypeTest asks that the reference parameter Ref names a resource of Type. Its one
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
