package failures

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"

	"github.com/rogpeppe/go-internal/testscript"
)

func (s *stage) serve(ts *testscript.TestScript, args []string) {
	if s.server != nil {
		s.server.Kill()
	}
	if s.address == "" {
		address, err := testkit.FreeAddress()
		ts.Check(err)
		s.address = address
	}
	if s.database != "" {
		args = append([]string{"--database", s.database}, args...)
	}
	server, err := muster.Serve(ts.MkAbs("data"), s.address, "", args...)
	ts.Check(err)
	s.server, s.read = server, 0
	ts.Setenv("BASE", server.Base)
}

func (s *stage) crash(*testscript.TestScript, []string) { s.server.Kill() }

func (s *stage) terminate(ts *testscript.TestScript, _ []string) { ts.Check(s.server.Terminate()) }

func (s *stage) log(ts *testscript.TestScript, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	wait(ts, func() error {
		place := pattern.FindStringIndex(s.server.Log()[s.read:])
		if place == nil {
			return fmt.Errorf("nothing in the log matches %s", args[0])
		}
		s.read += place[1]
		return nil
	})
}

func (s *stage) ready(ts *testscript.TestScript, args []string) {
	wait(ts, func() error {
		return s.expect(ts, strings.TrimSuffix(s.server.Base, "/fhir")+"/readyz", args[0], "ready")
	})
}

// expect gets a URL, keeps the body in a file and wants the status.
func (s *stage) expect(ts *testscript.TestScript, url, status, file string) error {
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

func (s *stage) kickoff(ts *testscript.TestScript, args []string) {
	status, err := s.server.KickOff(testkit.Parameters("", "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z"))
	if len(args) == 1 {
		if err == nil || !strings.HasPrefix(err.Error(), "kick-off: "+args[0]) {
			ts.Fatalf("the kick-off answers %v, want %s", err, args[0])
		}
		ts.Check(os.WriteFile(ts.MkAbs("answer"), []byte(err.Error()), 0o600))
		return
	}
	ts.Check(err)
	ts.Setenv("STATUS", status)
}

func (s *stage) poll(ts *testscript.TestScript, args []string) {
	if args[0] == "202" {
		ts.Check(s.expect(ts, ts.Getenv("STATUS"), "202", "answer"))
		return
	}
	wait(ts, func() error { return s.expect(ts, ts.Getenv("STATUS"), args[0], "answer") })
}

func (s *stage) manifest(ts *testscript.TestScript) (m testkit.Manifest) {
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("answer")), &m))
	return m
}

func (s *stage) download(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	output := s.manifest(ts).Output
	if n > len(output) {
		ts.Fatalf("the manifest has %d files", len(output))
	}
	ts.Check(s.expect(ts, output[n-1].URL, args[1], "file"))
}

func (s *stage) exported(ts *testscript.TestScript, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ids := map[string]bool{}
	for _, o := range s.manifest(ts).Output {
		body, code, err := testkit.Fetch(context.Background(), o.URL, map[string]string{"Accept": "application/fhir+ndjson"})
		ts.Check(err)
		if code != http.StatusOK {
			ts.Fatalf("GET %s: %d: %s", o.URL, code, body)
		}
		for line := range bytes.Lines(body) {
			var r struct{ ID string }
			ts.Check(json.Unmarshal(line, &r))
			if ids[r.ID] {
				ts.Fatalf("%s comes twice", r.ID)
			}
			ids[r.ID] = true
			if len(args) == 2 && !bytes.Contains(line, []byte(`"family":"`+args[1]+`"`)) {
				ts.Fatalf("not of %s: %s", args[1], line)
			}
		}
	}
	if len(ids) != want {
		ts.Fatalf("%d resources, want %d", len(ids), want)
	}
}

func (s *stage) cancel(ts *testscript.TestScript, args []string) {
	req, err := http.NewRequest(http.MethodDelete, ts.Getenv("STATUS"), nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	resp.Body.Close()
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("DELETE: %s, want %s", resp.Status, args[0])
	}
}

func (s *stage) runPostgres(ts *testscript.TestScript, args []string) {
	switch strings.Join(args, "") {
	case "":
		s.postgres = pgtest.StartServer(s.t)
		s.database = pgtest.DatabaseOn(s.t, s.postgres.URL)
		ts.Setenv("DATABASE", s.database)
	case "stop":
		s.postgres.Stop(s.t)
	case "start":
		s.postgres.Start(s.t)
	default:
		ts.Fatalf("postgres %s: see README.md", args[0])
	}
}
