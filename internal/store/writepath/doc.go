// Package writepath holds the part of the write path that is the same for every driver:
// how many changes one transaction takes, the outcome of each change, and the rows of the
// index tables that a new version adds and removes. It holds no SQL.
//
// # The write path
//
// [WriteChanges] splits a list of changes into transactions. The driver runs each of them
// inside the write gate:
//
//	Store.Apply                   all changes of the caller
//	  WriteChanges                one transaction after the other
//	    writeInGate (driver)      acquires the gate, and releases it after the transaction
//	      writeTransaction        begins, draws the commit time, commits
//	        ChunkSizer.WriteChunks   one chunk after the other, until the time is up
//	          writeChunk          the statements of one chunk
//
// # A chunk
//
// A driver writes a chunk in the same steps: find the current rows, call the revisions
// ([Revise]), decide the outcomes ([Decide]), copy the versions to history that a live job
// needs ([Horizon]), delete the rows of removed resources, assign row keys ([AssignKeys]),
// and write rows, documents and index rows ([Table.Rows], [Diff], [Table.Differences]).
//
// # A cascade
//
// [Cascade.Chunk] writes a chunk level by level. It computes what the resources of a level
// inherit, writes them, and finds what depends on them, on the next levels. If that is a lot, it
// is marked, and [Cascade.Slice] writes it in later transactions.
//
// [Reindexer] rebuilds the index in transactions of the same kind.
package writepath
