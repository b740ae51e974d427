// Package pagesum adds a checksum to each page of the databases of SQLite.
//
// It is a VFS, the layer through which SQLite reads and writes files: the methods of the default
// VFS, with others for reading and writing the file of a database. The last eight bytes of each
// page hold its checksum, over the number of the page and its bytes. SQLite keeps these bytes free
// in a file whose header says so (byte 20, "reserved bytes", is 8: [EmptyPage]). A page that does
// not match its checksum is a read error, SQLITE_IOERR_DATA. In a file without reserved bytes
// nothing is checked.
//
// The VFS is the default of the process: every database that the program opens has it.
//
// Pages get their checksums when they are written to the file of the database, in WAL mode by a
// checkpoint. Until then they are in the write-ahead log, whose frames have checksums of SQLite
// itself. SQLite verifies those when it recovers a log, and the VFS when it reads a frame that
// another connection wrote, or that this one has committed.
//
// A page of zeros counts as one that was never written: SQLite does not write a page that a
// transaction has allocated and freed again. SQLite itself reports a table or index with such a
// page.
package pagesum
