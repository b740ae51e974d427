// Package compare compares the search engine with the reference evaluator of package
// searchtest, on a real store of either database.
//
// [Config.Open] loads a generated directory into a new store, in batches as muster load
// does, and reads it back. [Trial.Compare] runs a query on both: on the evaluator, and on
// the engine as an export, as an export with _since, and as a search. A [Difference] is a
// different answer, or a query that only one of the two refuses. [Config.Run] compares
// many queries of many directories that follow from one seed. [Config.Shrink] reduces a
// failure to a small directory and query.
package compare
