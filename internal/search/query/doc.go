// Package query parses one search, as a client writes it in a _typeFilter or a URL, into a
// closed tree, and prints the tree as canonical text.
//
//	Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain,Rozelle
//
// # Flow
//
// [Parse] cuts off the type at the question mark, splits the rest at '&' and each part at
// its first '=', decodes percent-escapes (KO-35), and reads the name (modifier, chain,
// reverse chain) and the values (comma, bar, backslash). It reads the whole grammar of FHIR
// R4 search. Packages bound, policy and plan decide what the directory supports.
//
// Each node keeps its place in the client's text for error messages: see [Query.Place].
//
// [Query.String] prints canonical text. Parsing it returns the same query, form-decoded or
// not.
//
// # When things fail
//
// Parse returns all parts that it cannot read as fhir.Issues, together with the query of
// the other parts, so that later stages can report their problems in the same response.
// Text is bounded by [MaxText], [MaxDepth] and [MaxValues].
//
// Nothing here holds state; all functions are safe for concurrent use.
package query
