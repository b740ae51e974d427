// Package jobsql keeps export jobs in tables of a SQL database, as store.Jobs asks.
// The statements are the same for every database; what differs between them is a
// [Dialect] of a few words. The driver makes the tables (job, selection, part) by
// its migrations and hands in the database.
//
// # One at a time
//
// Each method is one transaction. SQLite lets one write at a time, so what a
// transaction reads stays true until it writes. PostgreSQL does not, so a
// transaction locks the row of its job first, and all other rows of the job after
// it: work on one job happens one after the other, on different jobs at once, and
// no two transactions wait for each other. A claim looks for a job that nobody
// works on at this instant before it waits for one.
package jobsql
