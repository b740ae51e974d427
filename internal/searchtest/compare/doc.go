// Package compare holds the search engine against the naive evaluator of package
// searchtest, over a real store of either database.
//
// The flow: [Config.Open] loads a generated directory into a new store, in batches,
// as muster load does, and reads it back. [Trial.Ask] puts one query to both: to the
// evaluator, and to the compiler and the store as an export, as an export with _since,
// and as a search. A [Difference] is an answer that differs, or a refusal of one side
// only. [Config.Run] does so for many queries of many directories, all following from
// one seed, and [Config.Shrink] makes what it finds small enough to be looked at.
package compare
