// Package pgtest provides tests with a PostgreSQL database.
//
//	url := pgtest.Database(t) // an empty database, which is dropped at the end of the test
//
// The variable MUSTER_TEST_POSTGRES names the server: the URL of a database whose user may
// create databases. ./check sets it. Without the variable, the first test of a process starts
// a private server from Debian's packages, on a free port and in a temporary folder. It stops
// when the process ends, even if the process is killed. If PostgreSQL is not installed, the
// test is skipped with one line; with CI=true it fails instead, so that a CI run cannot pass
// without PostgreSQL.
//
// A test that stops or restarts a server needs a server of its own ([StartServer]).
//
// A test that runs the program passes the URL as an option. The data directory then holds
// only the files:
//
//	url := pgtest.Database(t)
//	program.Run("load", "--database", url, "directory.ndjson")
//	program.Serve(folder, address, "", "--database", url)
package pgtest
