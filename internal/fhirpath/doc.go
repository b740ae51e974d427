// Package fhirpath compiles the part of FHIRPath that the expressions of search parameters
// use. A compiled expression is a set of functions over parsed JSON. The package is
// independent of resource types and search parameters.
//
// # Supported expressions
//
//	Organization.name | Organization.alias         paths from a type, and unions of them
//	Practitioner.telecom.where(system = 'email')   filters
//	extension('http://…').value.ofType(Coding)     extensions, choice elements (also .as(T) and "x as T")
//	identifier.where(type.coding.exists(code='XX') and value.exists().not())
//	Provenance.target.where(resolve() is Location) type of a reference, read from its text
//
// A path returns elements. The arguments of where() and exists() are conditions: = and !=
// between a path and a literal, exists(), not(), and, or, and parentheses. $this is the
// element under test.
//
// # Flow
//
// text → tokens (lex.go) → functions (parse.go, steps.go). [Compile] does everything that
// can be done once. [Expression.Append] walks the JSON and descends into arrays implicitly.
// It allocates only the list of results.
//
// # Errors
//
// For an expression outside the subset, [Compile] returns an error with the position and
// the token, so that no expression is evaluated incorrectly. Evaluation cannot fail: a path
// without a match returns no elements. JSON null counts as no element.
package fhirpath
