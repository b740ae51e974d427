// Package query reads one search of the directory, as a client writes it in a
// _typeFilter, into a closed tree, and prints the tree back.
//
//	Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain,Rozelle
//
// The flow of [Parse]: cut off the type at the question mark, split on '&', then
// at the first '=', undo percent-escapes (KO-35), read the name (modifier,
// chain, reverse chain) and the values (comma, bar, backslash). The grammar is
// that of FHIR R4 search, whole: what the directory supports of it is decided
// later, by packages policy and plan.
//
// Every node keeps its place in the client's text, so that whoever refuses it
// can say where it stands: see [Query.Place]. When pieces cannot be read, Parse
// returns all of them as fhir.Issues together with the query of the other
// pieces, so that later stages can report their problems in the same answer.
//
// A printed query is canonical text. Reading it gives the same query, and it
// means the same within a URL, form-decoded or not.
//
// Text is bounded by [MaxText], [MaxDepth] and [MaxValues]. Nothing here holds
// state; all functions may be called by several goroutines at once.
package query
