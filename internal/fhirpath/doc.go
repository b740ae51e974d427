// Package fhirpath compiles the part of FHIRPath that the expressions of search
// parameters use, to functions over parsed JSON. It knows no resource type and no
// search parameter.
//
// # What it understands
//
//	Organization.name | Organization.alias         paths from a type, and unions of them
//	Practitioner.telecom.where(system = 'email')   filters
//	extension('http://…').value.ofType(Coding)     extensions, choice elements (also .as(T) and "x as T")
//	identifier.where(type.coding.exists(code='XX') and value.exists().not())
//	Provenance.target.where(resolve() is Location) type of a reference, read from its text
//
// A path gives elements; inside where() and exists() stand conditions: = and !=
// between a path and a literal, exists(), not(), and, or, parentheses. $this is
// the element under test.
//
// # Flow
//
// text → tokens (lex.go) → functions (parse.go, steps.go). [Compile] does all the
// work that can be done once; [Expression.Append] walks the JSON, goes into arrays
// by itself, and allocates nothing but room in the list of results.
//
// # When things fail
//
// Anything outside the subset is an error of [Compile] that says the position and
// the piece, never a wrong result later. Evaluation cannot fail: a path that leads
// nowhere finds nothing. JSON null is nothing as well.
package fhirpath
