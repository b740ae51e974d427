// Package compare performs steps on a real store of either database and compares what clients see
// with the model of package rulestest.
//
// [Config.Open] creates a store. [Directory.Begin] begins a sequence in it: its ids have a prefix of
// their own, and its questions find what was written since, so that a store can hold many
// sequences. [Sequence.Step] loads the documents of a step as muster load does, or removes a
// resource, and compares
//
//   - a search of each type over HTTP, for visible resources and for each state that a client may
//     name, and the reads of resources that have changed,
//   - a full export of each type, with the bytes of each line,
//   - deltas since the last step and since a random one, for a client that gets suppressed resources
//     and for one that does not,
//   - a copy that is kept by chained deltas alone with the full export.
//
// It also checks that no resource has one version twice with different bytes, that a transaction
// gives a resource one version, and that a document that is restored has the bytes that it had.
// The first difference ends a sequence. [Config.Run] compares many random sequences.
package compare
