// Package sqlite stores a data directory in SQLite: resources in directory.db, export jobs
// in jobs.db. They are two files so that a loader does not delay the heartbeats of jobs.
//
// # Writing
//
// Every write to directory.db passes the write gate, a fair lock over all processes
// ([Store.Apply]). Inside the gate, a transaction draws its commit time from table clock,
// finds the current rows, decides the outcome of each change, keeps the versions that a
// live job needs, and writes rows, documents and index entries in the order of the
// indexes. A transaction takes at most 250 ms and is atomic. A process that dies leaves no
// part of it behind, and the kernel releases its locks.
//
// # Reading
//
// A snapshot is a read transaction that begins inside the gate, right after its transaction
// time was drawn ([Store.OpenSnapshot]). It only serves the selection. The documents are
// read later, in short transactions, in the versions of that time ([Store.ReadAsOf]): the
// current version if it was committed at or before that time, else the version in history.
// So no long transaction delays the checkpoints of the write-ahead log.
//
// # Tables
//
// The tables are defined in migrations/directory; schema.sql shows the result. For example,
// the Location "hobart" with address-city=Hobart has the row key 2<<40|1, a row in table
// resource, its line in table doc, and in table ix_string the row (2<<40|1, 14, "hobart",
// "Hobart"). The index ix_string_value contains the same as (14, "hobart", "Hobart",
// 2<<40|1). The table returns the entries of a row. The index returns the rows of a value,
// in the order of the export.
//
// Statements fix the order of their joins, and nothing runs ANALYZE: the plan of muster
// decides the order, not the statistics of the database.
package sqlite
