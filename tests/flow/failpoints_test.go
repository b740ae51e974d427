package flow

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/failpoint"
	"muster/internal/filelock"
	"muster/internal/testkit"
)

// TestKilledAtEachFailpoint kills the program at each point of failpoint.All and repeats
// the work. A point that is not reached fails the test.
func TestKilledAtEachFailpoint(t *testing.T) {
	all := practitioners(t, 1500, "Whole")
	for _, point := range failpoint.All {
		t.Run(point.Name, func(t *testing.T) {
			t.Parallel()
			p := newDeployment(t)
			switch point.Command {
			case "load":
				killLoad(t, p, point.Name, all)
			case "serve":
				p.load(t, all)
				killServe(t, p, point.Name, all)
			case "backup":
				p.load(t, all)
				killBackup(t, p, point.Name)
			case "reindex":
				p.load(t, all)
				killReindex(t, p, point.Name)
			default:
				t.Fatalf("there is no test for command %q", point.Command)
			}
		})
	}
}

// driverPoints are the failpoints in the code of each driver, and two of export.
var driverPoints = []string{"directory.migrate", "directory.migrated", "jobs.migrate", "directory.gate.waiting", "directory.apply.entered",
	"directory.apply.commit", "directory.apply.committed", "directory.cascade.slice", "directory.cascade.commit", "directory.cascade.committed", "directory.snapshot.drawn", "directory.snapshot.pinned", "jobs.commit", "jobs.committed",
	"directory.vacuum.commit", "directory.sweep.commit", "export.writing", "export.part.committed"}

// TestKilledAtEachFailpointOnPostgres does the same for the failpoints of the driver.
func TestKilledAtEachFailpointOnPostgres(t *testing.T) {
	all := practitioners(t, 1500, "Whole")
	for _, point := range failpoint.All {
		if !slices.Contains(driverPoints, point.Name) {
			continue
		}
		t.Run(point.Name, func(t *testing.T) {
			t.Parallel()
			p := newPostgresDeployment(t)
			if point.Command == "load" {
				killLoad(t, p, point.Name, all)
				return
			}
			p.load(t, all)
			killServe(t, p, point.Name, all)
		})
	}
}

// killLoad kills a load at the failpoint. The repeated load is complete.
func killLoad(t *testing.T, p deployment, point, all string) {
	free := func() {}
	if point == "directory.gate.waiting" {
		free = holdGate(t, p)
	}
	cascades := strings.HasPrefix(point, "directory.cascade.")
	work := []string{all}
	if cascades {
		p.load(t, rolesOf(t, 600, true))
		work = []string{rolesOf(t, 0, false), all}
	}
	loader, err := muster.Start(point, append(append([]string{"load"}, p.directory()...), work...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loader.Kill)
	if err := loader.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	free()
	p.load(t, all)
	s := p.serve(t, "")
	wantComplete(t, s, s.kickOff(everyPractitioner))
	if cascades {
		roles := s.wait(s.kickOff(testkit.Parameters("", "PractitionerRole?_lastUpdated=ge1900-01-01T00:00:00Z")))
		if len(roles.Output) != 0 {
			t.Errorf("roles of an inactive organisation are exported: %v", roles.Output)
		}
	}
}

// rolesOf writes an organisation, active or not, and a number of its roles to a file.
func rolesOf(t *testing.T, n int, active bool) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `{"resourceType":"Organization","id":"o","active":%v,"name":"Clinic"}`+"\n", active)
	for i := range n {
		fmt.Fprintf(&b, `{"resourceType":"PractitionerRole","id":"r%d","active":true,"organization":{"reference":"Organization/o"}}`+"\n", i)
	}
	path := filepath.Join(t.TempDir(), "roles.ndjson")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// holdGate creates the directory and holds its gate until free is called.
func holdGate(t *testing.T, p deployment) (free func()) {
	t.Helper()
	p.load(t, practitioners(t, 1, "First"))
	if p.database != "" {
		return holdAdvisoryLock(t, p.database)
	}
	f, err := os.OpenFile(filepath.Join(p.data, "gate.lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := filelock.Wait(f, filelock.Exclusive); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

// holdAdvisoryLock is holdGate on PostgreSQL.
func holdAdvisoryLock(t *testing.T, database string) (free func()) {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT pg_advisory_xact_lock(1836414065, hashtext(current_schema()))"); err != nil {
		t.Fatal(err)
	}
	return func() { _, _ = tx.Rollback(), db.Close() }
}

// killBackup kills a backup at the failpoint. It leaves no incomplete copy, and the next
// backup succeeds.
func killBackup(t *testing.T, p deployment, point string) {
	s := p.serve(t, "", "--part-bytes", "40000")
	wantComplete(t, s, s.kickOff(everyPractitioner))
	out := filepath.Join(t.TempDir(), "copy")
	dying, err := muster.Start(point, "backup", "--data", p.data, "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dying.Kill)
	if err := dying.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	if point != "backup.renamed" {
		if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the killed backup left a copy: %v", err)
		}
		if _, err := muster.Run("backup", "--data", p.data, "--out", out); err != nil {
			t.Fatal(err)
		}
	}
	for _, data := range []string{p.data, out} {
		if _, err := muster.Run("check", "--deep", "--data", data); err != nil {
			t.Error(err)
		}
	}
}

// killReindex kills a reindex at the failpoint. The next one completes it.
func killReindex(t *testing.T, p deployment, point string) {
	dying, err := muster.Start(point, "reindex", "--data", p.data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dying.Kill)
	if err := dying.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"reindex", "check"} {
		if _, err := muster.Run(command, "--data", p.data); err != nil {
			t.Fatal(err)
		}
	}
	s := p.serve(t, "")
	wantComplete(t, s, s.kickOff(everyPractitioner))
}

// killServe kills a server at the failpoint, starts it again, and checks each remaining
// job.
func killServe(t *testing.T, p deployment, point, all string) {
	prepareServe(t, p, point, all)
	lease := "1h" // a server that alone serves a directory waits for no lease
	if p.database != "" {
		lease = "1s"
	}
	dying := p.start(t, point, "--part-bytes", "40000", "--lease", lease, "--sweep-every", "200ms", "--keep-removals", "1ms")
	t.Cleanup(dying.Kill)
	if status, err := dying.KickOff(everyPractitioner, trackMembership); err == nil && (point == "export.cancelled" || point == "export.deleted") {
		_, _ = request(http.MethodDelete, status) // it may die before it answers
	}
	if err := dying.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	s := p.serve(t, "", "--part-bytes", "40000", "--sweep-every", "200ms", "--keep-removals", "1ms")
	parts := 0
	for id, state := range allJobs(t, p) {
		if state == "cancelled" {
			continue
		}
		status := s.Base + "/$export-poll-status?_jobId=" + id
		parts += wantComplete(t, s, status)
		if s.wait(status).Extension.Membership != "" {
			continuesTracking(t, s, status)
		}
	}
	parts += wantComplete(t, s, s.kickOff(everyPractitioner))
	s.noOrphans(p.data, parts)
}

const trackMembership = "track-membership"

// continuesTracking checks that the next export knows what a resumed one held.
func continuesTracking(t *testing.T, s server, status string) {
	t.Helper()
	next, err := s.KickOff(testkit.Parameters(s.wait(status).TransactionTime, "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z"), trackMembership)
	if err != nil {
		t.Fatal(err)
	}
	if m := s.wait(next); m.Extension.Membership != "kept" || len(m.Output) != 0 {
		t.Errorf("the export after %s has %d files, and the membership is %q: %s", status, len(m.Output), m.Extension.Membership, m.Message)
	}
}

// prepareServe prepares the state in which a server reaches a failpoint that an export
// alone does not reach.
func prepareServe(t *testing.T, p deployment, point, all string) {
	t.Helper()
	switch point {
	case "export.sweep.remove", "blob.removed":
		// The file of an ended job is removed at once, instead of after an hour.
		s := p.start(t, "")
		t.Cleanup(s.Kill)
		status, err := s.KickOff(everyPractitioner)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := request(http.MethodDelete, status); err != nil {
			t.Fatal(err)
		}
		s.Kill()
		for id := range allJobs(t, p) {
			orphan := filepath.Join(p.data, "files", id)
			if err := errors.Join(os.MkdirAll(orphan, 0o700), os.WriteFile(filepath.Join(orphan, "77-1.ndjson.gz"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	case "directory.sweep.commit":
		gone := filepath.Join(t.TempDir(), "gone.ndjson")
		if err := os.WriteFile(gone, []byte(`{"resourceType":"Location","id":"gone","name":"Gone"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		p.load(t, gone)
		if _, err := muster.Run(append(append([]string{"remove"}, p.directory()...), "--yes", "--matching", "Location?_id=gone")...); err != nil {
			t.Fatal(err)
		}
	case "directory.gate.waiting":
		t.Fatal("killLoad tests this failpoint")
	case "directory.vacuum.commit":
		// A live job keeps the versions from before a load.
		s := p.start(t, "export.writing", "--lease", "3s")
		t.Cleanup(s.Kill)
		_, _ = s.KickOff(everyPractitioner)
		if err := s.WaitKilled(); err != nil {
			t.Fatal(err)
		}
		p.load(t, practitioners(t, 1500, "Later"))
	}
}

// wantComplete waits for an export, which must have all 1,500 resources, and returns the
// number of its files.
func wantComplete(t *testing.T, s server, status string) int {
	t.Helper()
	got := files(t, s.wait(status))
	if n := bytes.Count(bytes.Join(got, nil), []byte("\n")); n != 1500 {
		t.Errorf("%s has %d resources, want 1500", status, n)
	}
	return len(got)
}

// allJobs returns the states of all jobs by id.
func allJobs(t *testing.T, p deployment) map[string]string {
	t.Helper()
	rows, err := p.jobs(t).Query("SELECT id, state FROM job WHERE id <> ''")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	states := map[string]string{}
	for rows.Next() {
		var id, state string
		if err := rows.Scan(&id, &state); err != nil {
			t.Fatal(err)
		}
		states[id] = state
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return states
}

// request sends a request without a body and returns the status of the response.
func request(method, url string) (status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
