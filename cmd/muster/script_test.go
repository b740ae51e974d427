package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"muster/internal/testkit/golden"
)

// TestMain lets the scripts run this program as "muster".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"muster": main})
}

// TestScripts runs testdata/*.txt, a transcript for each command: what is typed
// and what comes of it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       golden.Update(),
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "sql": runSQL},
	})
}

// exits is the script command "exits CODE PROGRAM ARG…": it runs the program and
// fails unless it ends with that exit code, which is a contract with scripts.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("write: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// runSQL is the script command "sql FILE STATEMENT": it runs a statement on a SQLite
// file and prints the rows, columns with a bar between.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("write: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	rows, err := db.Query(args[1])
	ts.Check(err)
	defer rows.Close()
	columns, err := rows.Columns()
	ts.Check(err)
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for n := range values {
		places[n] = &values[n]
	}
	for rows.Next() {
		ts.Check(rows.Scan(places...))
		line := make([]string, len(values))
		for n, v := range values {
			line[n] = fmt.Sprint(v)
		}
		fmt.Fprintln(ts.Stdout(), strings.Join(line, "|"))
	}
	ts.Check(rows.Err())
}
