// Package store defines the storage interfaces: rows, jobs, searches and errors. It
// contains no SQL; the drivers below it (sqlite, postgres) do. Package storetest is the
// test suite that every driver passes.
//
// # Resources
//
// A resource keeps its row key forever. Its current version is a narrow row, stored apart
// from the bytes that are served ([Document]). An older version is kept only while a live
// job needs it. A removal leaves a tombstone.
//
// # Consistent snapshots
//
// Writers pass a gate, one batch at a time. Each batch gets one commit time from a strictly
// increasing clock in the database. A snapshot takes its transaction time T from the same
// clock, inside the same gate. So every version is either committed before T and in the
// snapshot, or committed after T and in the next delta ([Directory.Apply],
// [Directory.OpenSnapshot]).
//
// # Jobs
//
// A job is one row, and each of its parts is one row. Workers claim tasks under a lease
// with a fencing token. States only move forward ([State.CanBecome]). A worker that has
// lost its lease can change nothing any more ([ErrLeaseLost]).
package store
