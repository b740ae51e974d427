// Package searchtest implements a reference evaluator for searches over raw JSON, and a
// generator of random directories and queries. Tests compare the search engine with it.
//
// The evaluator shares only the query tree with the engine: no plan, no index, no SQL, no
// registry. [Directory.Find] evaluates every criterion on the JSON of every resource.
// The elements of each parameter are listed by hand from the text of the guide
// (elements.go). The evaluator is slow, but short enough to compare with the guide line
// by line. If the engine and the evaluator differ, one of them is wrong.
//
// [Directory.Add] parses resources. [Directory.Find] answers a query: it checks that the
// query is valid (validate.go), then the state of each resource (state.go), then each
// criterion (evaluate.go), by comparing the values of a parameter (values.go) with those
// of the query (match.go).
//
// [Generate] generates small directories with many edge cases from a random source.
// [Directory.RandomQuery] generates queries for them. Most queries find something,
// because each follows the references of a resource in the directory. [Coverage] counts
// the forms of the queries, so that a test can require a minimum.
//
// Package compare runs the engine and the evaluator and reports differences.
package searchtest
