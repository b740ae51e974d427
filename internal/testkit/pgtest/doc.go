// Package pgtest gives tests a PostgreSQL.
//
//	url := pgtest.Database(t) // an empty database of this test, dropped at its end
//
// The server is the one that MUSTER_TEST_POSTGRES names (the URL of a database
// whose user may make others), as ./check sets it. Without the variable the first
// test of a process starts a private one from Debian's packages: on a free port, in
// a temporary folder, gone with the process however that ends. Where PostgreSQL is
// not installed the test is skipped with one line; with CI=true it fails instead,
// so that no run passes that never asked PostgreSQL.
//
// A test that stops or restarts a server wants one for itself ([StartServer]).
//
// A test that runs the program hands the URL over as an option. The data directory
// then holds the files alone:
//
//	url := pgtest.Database(t)
//	program.Run("load", "--database", url, "directory.ndjson")
//	program.Serve(folder, address, "", "--database", url)
package pgtest
