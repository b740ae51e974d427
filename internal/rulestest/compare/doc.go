// Package compare performs steps on a real directory on either database and compares what clients see
// with the model of package rulestest.
//
// A [Target] is where the steps are performed: a [Directory] in this process, or a program (see
// bench/soak). [Begin] begins a sequence in it: its ids have a prefix of their own, and its
// questions find what was written since, so that a directory can hold many sequences.
// [Sequence.Step] loads the documents of a step or removes a resource, and compares
//
//   - a search of each type over HTTP, for visible resources and for each state that a client may
//     name, includes, and the reads of all resources,
//   - a full export of each type, with the bytes of each line,
//   - deltas since the last step and since another one, for a client that gets suppressed resources
//     and for one that does not,
//   - a copy that is kept by chained deltas alone with the full export,
//   - filters that follow references.
//
// It also checks that no version is served with different bytes, and that a document that is
// restored has the bytes that it had. After an interrupted load, clients must see nothing of it or
// all. The first difference ends a sequence. [Random] performs random steps, and [Config.Run] many
// sequences of them.
package compare
