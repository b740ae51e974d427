package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"muster/internal/testkit"
	"muster/internal/testkit/golden"
	"muster/internal/testkit/pgtest"
)

// TestMain lets the scripts run this program as "muster".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"muster": main})
}

// TestScripts runs testdata/*.txt, a transcript for each command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       golden.Update(),
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": testkit.Exits, "sql": runSQL},
	})
}

// TestScriptsOnBoth runs testdata/both/*.txt on both databases, which the environment names.
func TestScriptsOnBoth(t *testing.T) {
	files, err := filepath.Glob("testdata/both/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for name, location := range map[string]func(t *testing.T) string{
		"SQLite":     func(*testing.T) string { return "MUSTER_DATA=d" },
		"PostgreSQL": func(t *testing.T) string { return "MUSTER_DATABASE=" + pgtest.Database(t) },
	} {
		for _, file := range files {
			t.Run(name, func(t *testing.T) {
				where := location(t)
				testscript.Run(t, testscript.Params{
					Files:               []string{file},
					RequireExplicitExec: true,
					Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": testkit.Exits},
					Setup: func(e *testscript.Env) error {
						e.Vars = append(e.Vars, where)
						return nil
					},
				})
			})
		}
	}
}

// runSQL is the script command "sql FILE STATEMENT". It runs a statement on a SQLite file
// and prints the rows, with columns separated by "|".
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
	values, pointers := make([]any, len(columns)), make([]any, len(columns))
	for n := range values {
		pointers[n] = &values[n]
	}
	for rows.Next() {
		ts.Check(rows.Scan(pointers...))
		line := make([]string, len(values))
		for n, v := range values {
			line[n] = fmt.Sprint(v)
		}
		fmt.Fprintln(ts.Stdout(), strings.Join(line, "|"))
	}
	ts.Check(rows.Err())
}
