// Package inspectsql implements store.Inspector for SQL databases. It reads the contents
// of a directory as they are stored, damaged or not. The statements are the same for all
// databases; a [Dialect] describes the few differences. The driver opens the database
// read-only and adds the integrity checks of the database itself.
//
//   - resources.go reads rows, bodies and index entries.
//   - versions.go reads old versions and tombstones.
//   - jobs.go reads jobs and the names of their files.
//   - integrity.go compares the redundant parts of the index with each other.
package inspectsql
