// Package check verifies that rows, bodies, index entries, old versions, jobs and files
// of a directory agree with each other. It only reads, in short transactions, so the
// directory may be served and written meanwhile. Each transaction reads one snapshot.
//
// # What it verifies
//
//   - resources.go: every row has one body, and the type, id, version, time, size and state
//     of the two agree. The index entries equal those that extraction of the body returns:
//     none is missing and none is stray. The body holds nothing that a directory may not
//     hold. No resource was committed after the clock, and no row key exceeds its sequence.
//   - references.go: the targets of references are in the directory. A dangling reference is a
//     note, since its target may come with a later load.
//   - versions.go: every old version was superseded in order, and a live job needs it or
//     needed it until recently. Every tombstone belongs to a row key that is not in use, and
//     later versions of the resource have higher numbers.
//   - jobs.go: the state of every job agrees with its selections and parts, and the
//     resources that a live job has still to write can be read. No transaction time is after
//     the clock.
//   - files.go: the file of every finished part exists and has the size that its row says;
//     with Config.Deep, it has the same content. No file is without a job for longer than
//     the janitor needs.
//   - The database runs its own checks ([store.Inspector]).
//
// # Concurrent changes
//
// A job can end and its files can be deleted between two transactions. Therefore a
// problem of a job or a file is verified a second time before it is reported, and dropped
// if the job has changed. Leftovers that only a running server removes, such as the files
// of a worker that crashed, are notes and not findings while no server runs.
package check
