// Package sqlite keeps a data directory in SQLite: resources in directory.db,
// export jobs in jobs.db, so that a loader delays no heartbeat of a job.
//
// # Writing
//
// Every write to directory.db passes the gate, a fair lock over all processes
// ([Store.Apply]). Inside it a batch draws its commit time from the clock table,
// finds the current rows, decides what each change is, keeps the versions that a
// live job needs, and writes rows, documents and index entries, sorted as the
// indexes are. A batch works for at most 250 ms and commits whole: a process that
// dies leaves nothing of it behind, and its locks go with it.
//
// # Reading
//
// A snapshot is a read transaction that was opened inside the gate, right after
// its transaction time was drawn ([Store.OpenSnapshot]). It is used for the
// selection only. The bytes are read later, in short transactions, in the
// versions of that time ([Store.ReadAsOf]): the current row if it was committed
// by then, else the one in history. So no long transaction holds back the
// checkpoints of the write-ahead log.
//
// # Tables
//
// migrations/directory holds them, schema.sql shows the outcome. An example: the
// Location "hobart" with address-city=Hobart has the row key 2<<40|1, a row in
// resource, its line in doc and in ix_string the row (2<<40|1, 14, "hobart",
// "Hobart"), which stands a second time in ix_string_value as (14, "hobart",
// "Hobart", 2<<40|1). The table answers "what has this row?", its index "which
// rows have this?", in the order of the export.
//
// Statements fix their own order of work, and nothing runs ANALYZE: the plan
// decides, never the statistics of the database.
package sqlite
