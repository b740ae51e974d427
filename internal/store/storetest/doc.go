// Package storetest is the test suite that every driver of package store passes: it tests
// the contracts of store.Directory, store.Jobs, store.Reader and store.Indexer without
// knowledge of the database.
//
// Tests of concurrency stop at failpoints; they never wait for a time. Random directories
// and random plans are compared with a naive evaluator over the same index entries, which
// shares no code with the drivers.
package storetest
