// Package writepath holds what every driver does with a batch of changes, apart from
// its SQL: how long a batch stays in the gate, what becomes of each change, and
// which rows of the index tables must come and go.
//
// A driver takes the changes in chunks ([Pace.Run]) and brings each chunk
// through the same steps: find the current rows, [Decide], keep the versions that a
// live job needs ([Horizon]), remove, allot row keys, write rows and documents, and
// write what the index lacks ([Wanted], [Difference]). [Reindexing] is the same for an
// index that is made anew.
package writepath
