// Package check looks whether a directory is what it should be: rows, bodies,
// index entries, old versions, jobs and files agree with each other. It reads only,
// in short pieces, so the directory may be served and written meanwhile; what a
// piece shows is of one moment.
//
// # What is held against what
//
//   - resources.go: every row has one body, and type, id, version, time, size and
//     state of the two agree; the index entries are those that extraction of the
//     body gives, none missing and none stray; the body holds nothing that a directory
//     may not hold; nothing is committed after the
//     clock, no row key is beyond its sequence.
//   - versions.go: an old version was superseded in order and is needed by a job
//     that lives, or was until a moment ago; a tombstone stands for a row key that
//     lives no more, and versions go on counting after it.
//   - jobs.go: the state of a job, its selections and its parts tell one story,
//     and what a live job has still to write can be read.
//   - files.go: the file of every part that is done is there, as long as the row
//     says, and with Config.Deep holds the very bytes; no file is without an owner
//     for longer than the janitor takes.
//   - the database checks itself ([store.Inspector]).
//
// # A moving target
//
// A job can end and its files can go between two pieces. So whatever is found
// about a job or a file is looked at again before it is reported, and is dropped
// if the job went on. What only a running server clears up, such as the files of a
// worker that was killed, is a note and no finding while none runs.
package check
