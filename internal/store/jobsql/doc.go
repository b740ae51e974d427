// Package jobsql implements store.Jobs and store.Registry in the tables of a SQL database. The
// statements are the same for all databases; a [Dialect] describes the few differences. The driver
// creates the tables (job, selection, part, part_content, members and client_use; registered_client,
// signing_key and used_token) in its migrations and passes the database.
//
// # Concurrency
//
// Each method is one transaction. SQLite runs one writing transaction at a time, so what
// a transaction has read stays valid until it writes. PostgreSQL runs several, so a
// transaction locks the row of its job first and the other rows of the job after it.
// Changes to one job are therefore serialised, changes to different jobs run
// concurrently, and transactions do not deadlock. A claim first skips jobs that are
// locked by another transaction, and waits for a lock only if there is no other task.
package jobsql
