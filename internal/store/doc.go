// Package store says what muster keeps and what it asks of a database: row
// types, small interfaces and errors. It holds no SQL; the drivers below it
// (sqlite, postgres) do, and package storetest is the suite that every
// driver passes.
//
// # Resources
//
// A resource has one row key for ever. Its current version stands in a narrow
// row, apart from the bytes that are served ([Document]); an older version is
// kept only while a live job needs it. Removal leaves a tombstone.
//
// # One moment
//
// Writers pass a gate, one batch at a time, and a batch gets one commit time from
// a strictly increasing clock in the database. A snapshot takes its transaction
// time T from the same clock, inside the same gate. So every version is either
// committed before T and in the snapshot, or after T and in the next delta
// ([Directory.Apply], [Directory.OpenSnapshot]).
//
// # Jobs
//
// One row for a job, one for each of its parts. Work is claimed under a lease
// with a fencing number, states only move forward ([State.CanBecome]), and a
// worker whose lease was lost can change nothing any more ([ErrLeaseLost]).
package store
