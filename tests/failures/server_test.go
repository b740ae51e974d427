package failures

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"

	"github.com/rogpeppe/go-internal/testscript"
)

func (e *environment) serve(ts *testscript.TestScript, args []string) {
	if e.server != nil {
		e.server.Kill()
	}
	if e.address == "" {
		address, err := testkit.FreeAddress()
		ts.Check(err)
		e.address = address
	}
	if e.database != "" {
		args = append([]string{"--database", e.database}, args...)
	}
	server, err := muster.Serve(ts.MkAbs("data"), e.address, "", args...)
	ts.Check(err)
	e.server, e.logRead = server, 0
	ts.Setenv("BASE", server.Base)
}

func (e *environment) crash(*testscript.TestScript, []string) { e.server.Kill() }

func (e *environment) terminate(ts *testscript.TestScript, args []string) {
	err := e.server.Terminate()
	if len(args) == 0 {
		ts.Check(err)
		return
	}
	e.exited(ts, args)
}

// flipLog flips a bit in each frame of the log of a SQLite database, which may be in use.
func (e *environment) flipLog(ts *testscript.TestScript, args []string) {
	const header, frame = 32, 24 + 4096
	path := ts.MkAbs(args[0]) + "-wal"
	log, err := os.ReadFile(path)
	ts.Check(err)
	if len(log) < header+frame {
		ts.Fatalf("the log of %s is empty", args[0])
	}
	for at := header; at+frame <= len(log); at += frame {
		log[at+1000] ^= 1
	}
	e.overwrite(ts, path, log)
}

func (e *environment) exited(ts *testscript.TestScript, args []string) {
	select {
	case <-e.server.Exited():
	case <-time.After(testkit.Patience):
		ts.Fatalf("the server runs")
	}
	if code := strconv.Itoa(e.server.ExitCode()); !slices.Contains(strings.Split(args[0], "|"), code) {
		ts.Fatalf("the server exited with %s, want %s", code, args[0])
	}
}

func (e *environment) log(ts *testscript.TestScript, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	wait(ts, func() error {
		match := pattern.FindStringIndex(e.server.Log()[e.logRead:])
		if match == nil {
			return fmt.Errorf("nothing in the log matches %s", args[0])
		}
		e.logRead += match[1]
		return nil
	})
}

func (e *environment) ready(ts *testscript.TestScript, args []string) {
	wait(ts, func() error {
		return e.expect(ts, strings.TrimSuffix(e.server.Base, "/fhir")+"/readyz", args[0], "ready")
	})
}

func (e *environment) get(ts *testscript.TestScript, args []string) {
	ts.Check(e.expect(ts, e.server.Base+"/"+args[0], args[1], "answer"))
}

// expect gets a URL, writes the body to a file, and checks the status.
func (e *environment) expect(ts *testscript.TestScript, url, status, file string) error {
	body, code, err := testkit.Fetch(context.Background(), url, nil)
	if err != nil {
		return err
	}
	ts.Check(os.WriteFile(ts.MkAbs(file), body, 0o600))
	if strconv.Itoa(code) != status {
		return fmt.Errorf("GET %s: %d, want %s: %s", url, code, status, body)
	}
	return nil
}

func (e *environment) kickoff(ts *testscript.TestScript, args []string) {
	status, err := e.server.KickOff(testkit.Parameters("", "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z"))
	if len(args) == 1 {
		if err == nil || !strings.HasPrefix(err.Error(), "kick-off: "+args[0]) {
			ts.Fatalf("the kick-off returned %v, want %s", err, args[0])
		}
		ts.Check(os.WriteFile(ts.MkAbs("answer"), []byte(err.Error()), 0o600))
		return
	}
	ts.Check(err)
	ts.Setenv("STATUS", status)
}

func (e *environment) poll(ts *testscript.TestScript, args []string) {
	if args[0] == "202" {
		ts.Check(e.expect(ts, ts.Getenv("STATUS"), "202", "answer"))
		return
	}
	wait(ts, func() error { return e.expect(ts, ts.Getenv("STATUS"), args[0], "answer") })
}

func (e *environment) manifest(ts *testscript.TestScript) (m testkit.Manifest) {
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("answer")), &m))
	return m
}

func (e *environment) download(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	output := e.manifest(ts).Output
	if n > len(output) {
		ts.Fatalf("the manifest has %d files", len(output))
	}
	ts.Check(e.expect(ts, output[n-1].URL, args[1], "file"))
}

func (e *environment) exported(ts *testscript.TestScript, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ids := map[string]bool{}
	for _, o := range e.manifest(ts).Output {
		body, code, err := testkit.Fetch(context.Background(), o.URL, map[string]string{"Accept": "application/fhir+ndjson"})
		ts.Check(err)
		if code != http.StatusOK {
			ts.Fatalf("GET %s: %d: %s", o.URL, code, body)
		}
		for line := range bytes.Lines(body) {
			var r struct{ ID string }
			ts.Check(json.Unmarshal(line, &r))
			if ids[r.ID] {
				ts.Fatalf("%s is repeated", r.ID)
			}
			ids[r.ID] = true
			if len(args) == 2 && !bytes.Contains(line, []byte(`"family":"`+args[1]+`"`)) {
				ts.Fatalf("the family name is not %s: %s", args[1], line)
			}
		}
	}
	if len(ids) != want {
		ts.Fatalf("%d resources, want %d", len(ids), want)
	}
}

func (e *environment) cancel(ts *testscript.TestScript, args []string) {
	req, err := http.NewRequest(http.MethodDelete, ts.Getenv("STATUS"), nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	resp.Body.Close()
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("DELETE: %s, want %s", resp.Status, args[0])
	}
}

func (e *environment) runPostgres(ts *testscript.TestScript, args []string) {
	switch strings.Join(args, "") {
	case "":
		e.startPostgres(ts)
	case "checksums":
		e.startPostgres(ts, "--data-checksums")
	case "stop":
		e.postgres.Stop(e.t)
	case "start":
		e.postgres.Start(e.t)
	default:
		ts.Fatalf("postgres %s: see README.md", args[0])
	}
}

func (e *environment) startPostgres(ts *testscript.TestScript, initdb ...string) {
	e.postgres = pgtest.StartServer(e.t, initdb...)
	e.database = pgtest.DatabaseOn(e.t, e.postgres.URL)
	ts.Setenv("DATABASE", e.database)
}

// postgresPage is the size of a page of PostgreSQL.
const postgresPage = 8192

// damage changes pages of a table or an index while PostgreSQL is stopped.
func (e *environment) damage(ts *testscript.TestScript, args []string) {
	table, _, _ := strings.Cut(args[0], ".")
	files, err := pgtest.Files(context.Background(), e.database, table)
	ts.Check(err)
	path, name := "", strings.Replace(args[0], ".", "_", 1)
	for relation, p := range files {
		if relation == name {
			path = p
		}
	}
	if path == "" {
		ts.Fatalf("%s is none of %v", name, files)
	}
	e.postgres.Shutdown(e.t)
	whole, err := os.ReadFile(path)
	ts.Check(err)
	damaged := bytes.Clone(whole)
	for page := range slices.Chunk(damaged, postgresPage) {
		switch args[1] {
		case "flip":
			page[postgresPage-20] ^= 1 // the first row of a table
		case "zero":
			clear(page)
		default:
			ts.Fatalf("damage: %s: see README.md", args[1])
		}
	}
	e.overwrite(ts, path, damaged)
	e.undamaged = func() { e.overwrite(ts, path, whole) }
	e.postgres.Start(e.t)
}

// undamage restores the pages that the last damage has changed.
func (e *environment) undamage(*testscript.TestScript, []string) {
	e.postgres.Shutdown(e.t)
	e.undamaged()
	e.postgres.Start(e.t)
}

// overwrite writes a file in place, so that its owner stays.
func (e *environment) overwrite(ts *testscript.TestScript, path string, data []byte) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.Write(data)
	ts.Check(errors.Join(err, f.Close()))
}

func (e *environment) metrics(ts *testscript.TestScript, _ []string) {
	ts.Check(e.expect(ts, strings.TrimSuffix(e.server.Base, "/fhir")+"/metrics", "200", "answer"))
}
