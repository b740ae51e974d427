// Package search is the front door of questions: text of a client in, plan out.
//
// The flow: [Compiler.ExportFilter] reads the text of a _typeFilter (package
// query), checks it against the rules (package policy) and plans it once (package
// plan), so that everything that could be wrong with it is known before a job
// exists. It returns a [Filter], whose canonical text a job keeps. The worker
// reads that text again and asks for the plan of its export: [Compiler.ExportPlan].
// For a filter that was accepted that cannot fail.
//
// A search URL goes the same way: [Compiler.SearchURL] takes out what shapes the
// answer (results.go, sorting.go, including.go), and the criteria that are left are
// those of a filter. It returns a [SearchRequest] for package searchset.
//
// Problems are fhir.Issues, one each, with the piece and its position in the
// text. A Compiler never changes; all goroutines may share one.
package search
