// Package postgres stores a directory in a PostgreSQL database. It has the same tables as
// package sqlite; each difference in migrations has a reason beside it. Several processes may
// serve and load one database at the same time.
//
// # Writing
//
// Every write to the resources passes the write gate, an advisory lock of a transaction
// ([Store.Apply]). PostgreSQL grants the lock in the order of the requests, so a kick-off
// that waits comes before the next transaction of a busy loader. Inside the gate, a
// transaction draws its commit time from table clock, which follows the database's own clock.
// Then it takes the same steps as in package sqlite (package writepath), with a few
// statements over arrays for each chunk. No statement is a COPY: PostgreSQL waits without
// limit for a client that hangs in the middle of a COPY, and would keep the gate locked. Every
// other statement ends with the timeouts of the session (session.go), which releases the lock.
//
// # Reading
//
// A snapshot ([Store.OpenSnapshot]) needs two connections:
//
//  1. The first connection acquires the gate.
//  2. The second connection begins its transaction, REPEATABLE READ, and reads once, which
//     fixes what it sees.
//  3. The first connection draws the transaction time, stores it with the job and commits,
//     all in one transaction.
//
// The order matters. If the snapshot's own transaction acquired the lock, the snapshot could
// be older than the lock, and a transaction that was committed in between would be in no
// export.
//
// The documents are read later, in short statements, in the versions of the transaction time
// ([Store.ReadAsOf]).
//
// # Jobs
//
// Changes of jobs use connections of their own and do not pass the gate, so a loader does not
// delay heartbeats (package jobsql). Nodes compare the times of leases: [Store.Now] is the
// time of the database's clock, not of the machine's.
//
// # Query plans
//
// Statements fix the order of their joins. The sessions disable hash and merge joins,
// sequential scans and the reordering of joins, so that the statistics of the database cannot
// change the order.
package postgres
