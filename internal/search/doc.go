// Package search compiles the text of searches: a _typeFilter or a search URL goes in, a
// plan comes out.
//
// # Flow
//
// [Compiler.ExportFilter] parses the text (package query), looks its names up (package
// bound), checks it against the rules (package policy) and plans it (package plan). Each
// package is entered once. The result is a [Filter] with its plan. A kick-off compiles its
// filters, so that every problem is known before a job exists, and stores their canonical
// text with the job. The worker compiles that text again under the rules of that time.
//
// [Compiler.SearchURL] does the same for a search URL. It also reads the result parameters
// (results.go, sorting.go, including.go) and returns a [SearchRequest] for package
// searchset.
//
// # When things fail
//
// The error is fhir.Issues, one issue for each problem, with the piece and its position in
// the text. Issues with the code forbidden come first.
//
// A Compiler never changes and is safe for concurrent use.
package search
