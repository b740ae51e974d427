// Package postgres keeps a directory in a PostgreSQL database: the same tables as
// package sqlite, side by side with it in migrations, with a reason at each
// difference. Several processes may serve and load one database at once.
//
// # Writing
//
// Every write to the resources passes the gate, an advisory lock of a transaction
// ([Store.Apply]). PostgreSQL lets those who wait for it in by their order, so a busy
// loader comes after a kick-off that waits. Inside it a batch draws its commit time
// from the clock table, which the database's own clock feeds, and then goes the same
// way as in package sqlite (package batch), with a few statements over arrays for
// each chunk. No statement is a COPY: PostgreSQL waits without end for a client that
// hangs in the middle of one, and would keep the gate for it. All others end with
// the session's timeouts (session.go), and the lock with them.
//
// # Reading
//
// A snapshot ([Store.OpenSnapshot]) needs two connections. One takes the gate; only
// then the other opens its transaction, REPEATABLE READ, and reads once, which fixes
// what it sees; then the first draws the transaction time, notes it with the job and
// commits, all in one transaction. The order matters: were the lock taken inside the
// snapshot's own transaction, the snapshot could be older than the lock, and a batch
// that was committed in between would be in no export.
//
// Bytes are read later, in short statements, in the versions of the transaction time
// ([Store.ReadAsOf]).
//
// # Jobs
//
// Work on jobs has connections of its own and never passes the gate, so no loader
// delays a heartbeat (package jobsql). Lease times are compared across nodes:
// [Store.Now] is the database's clock, whatever the machine's says.
//
// # Order of work
//
// Statements fix it themselves. The sessions switch off what would let statistics of
// the moment choose another: hash and merge joins, scans of whole tables, the
// reordering of joins.
package postgres
