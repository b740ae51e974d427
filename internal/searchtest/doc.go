// Package searchtest says by itself what a search must find, for tests that hold
// the engine against it.
//
// It shares nothing with the engine but the query tree: no plan, no index, no
// statement, no registry. [Directory.Find] walks the JSON of every resource for
// every criterion, with element access written by hand for each parameter
// (elements.go), after the text of the guide. It is slow, and short enough to be
// read against the guide line by line; where the two differ, one of them is wrong.
//
// The flow: [NewDirectory] takes resources as lines of JSON. [Directory.Find]
// answers one query: state first (state.go), then each criterion (evaluate.go), which
// compares the values of a parameter (values.go) with those of the query (match.go).
// [Generate] makes small ugly directories out of a random source, and
// [Directory.Query] makes queries about them, most of which find something, because
// each begins at a resource of the directory and goes where its references lead.
// [Coverage] counts what came out, so that a test can refuse a poor mixture.
//
// Package compare, below this one, runs both and looks for differences.
package searchtest
