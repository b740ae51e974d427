package flow

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"muster/internal/failpoint"
	"muster/internal/filelock"
	"muster/internal/testkit"
)

// TestKilledAtEveryPlace kills the program at each place of failpoint.All and does the
// work again. A place that no run passes fails: it would prove nothing.
func TestKilledAtEveryPlace(t *testing.T) {
	all := practitioners(t, 1500, "Whole")
	for _, place := range failpoint.All {
		t.Run(place.Name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			switch place.Command {
			case "load":
				killLoad(t, p, place.Name, all)
			case "serve":
				p.load(t, all)
				killServe(t, p, place.Name, all)
			case "backup":
				p.load(t, all)
				killBackup(t, p, place.Name)
			case "reindex":
				p.load(t, all)
				killReindex(t, p, place.Name)
			default:
				t.Fatalf("no test knows how to kill %q", place.Command)
			}
		})
	}
}

// drivers are the places that each driver has in its own code, and two around them.
var drivers = []string{"directory.migrate", "directory.migrated", "jobs.migrate", "directory.gate.waiting", "directory.apply.entered",
	"directory.apply.commit", "directory.apply.committed", "directory.snapshot.drawn", "directory.snapshot.pinned", "jobs.commit", "jobs.committed",
	"directory.vacuum.commit", "export.writing", "export.part.committed"}

// TestKilledAtEveryPlaceOnPostgres does the same where the code is the driver's.
func TestKilledAtEveryPlaceOnPostgres(t *testing.T) {
	all := practitioners(t, 1500, "Whole")
	for _, place := range failpoint.All {
		if !slices.Contains(drivers, place.Name) {
			continue
		}
		t.Run(place.Name, func(t *testing.T) {
			t.Parallel()
			p := newPostgresPlace(t)
			if place.Command == "load" {
				killLoad(t, p, place.Name, all)
				return
			}
			p.load(t, all)
			killServe(t, p, place.Name, all)
		})
	}
}

// killLoad lets a load die at the place. The repeated load gives the whole.
func killLoad(t *testing.T, p place, point, all string) {
	free := func() {}
	if point == "directory.gate.waiting" {
		free = holdGate(t, p)
	}
	loader, err := muster.Start(point, append(append([]string{"load"}, p.directory()...), all)...)
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
	wantWhole(t, s, s.kickOff(everyPractitioner))
}

// holdGate makes the directory and stands in its gate until free is called.
func holdGate(t *testing.T, p place) (free func()) {
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

// killBackup lets the making of a copy die at the place. There is no copy that is not
// whole, and the next one is.
func killBackup(t *testing.T, p place, point string) {
	s := p.serve(t, "", "--part-bytes", "40000")
	wantWhole(t, s, s.kickOff(everyPractitioner))
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
			t.Errorf("there is a copy though its making was killed: %v", err)
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

// killReindex lets the making of an index die at the place. The next one ends it.
func killReindex(t *testing.T, p place, point string) {
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
	wantWhole(t, s, s.kickOff(everyPractitioner))
}

// killServe lets a server die at the place, starts it again, and looks at every job
// that is left.
func killServe(t *testing.T, p place, point, all string) {
	leadTo(t, p, point, all)
	lease := "1h" // a server that alone serves a directory waits for no lease
	if p.database != "" {
		lease = "1s"
	}
	dying := p.start(t, point, "--part-bytes", "40000", "--lease", lease, "--sweep-every", "200ms")
	t.Cleanup(dying.Kill)
	if status, err := dying.KickOff(everyPractitioner); err == nil && point == "export.cancelled" {
		_, _ = request(http.MethodDelete, status) // it dies before it answers
	}
	if err := dying.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	s := p.serve(t, "", "--part-bytes", "40000", "--sweep-every", "200ms")
	parts := 0
	for id, state := range allJobs(t, p) {
		if state == "cancelled" {
			continue
		}
		parts += wantWhole(t, s, s.Base+"/$export-poll-status?_jobId="+id)
	}
	parts += wantWhole(t, s, s.kickOff(everyPractitioner))
	s.noOrphans(p.data, parts)
}

// leadTo prepares what a server must find in order to pass a place that an export
// alone does not lead to.
func leadTo(t *testing.T, p place, point, all string) {
	t.Helper()
	switch point {
	case "export.sweep.remove", "blob.removed":
		// The file of a job that is over goes at once, and not when it is an hour old.
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
			stray := filepath.Join(p.data, "files", id)
			if err := errors.Join(os.MkdirAll(stray, 0o700), os.WriteFile(filepath.Join(stray, "77-1.ndjson.gz"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	case "directory.gate.waiting":
		t.Fatal("a load shows this place")
	case "directory.vacuum.commit":
		// A job that still reads the versions from before a load keeps them.
		s := p.start(t, "export.writing", "--lease", "3s")
		t.Cleanup(s.Kill)
		_, _ = s.KickOff(everyPractitioner)
		if err := s.WaitKilled(); err != nil {
			t.Fatal(err)
		}
		p.load(t, practitioners(t, 1500, "Later"))
	}
}

// wantWhole waits for an export, which must have all 1,500 resources, and returns how
// many files it has.
func wantWhole(t *testing.T, s server, status string) int {
	t.Helper()
	got := files(t, s.wait(status))
	if n := bytes.Count(bytes.Join(got, nil), []byte("\n")); n != 1500 {
		t.Errorf("%s has %d resources, want 1500", status, n)
	}
	return len(got)
}

// allJobs returns the states of all jobs of a directory by id.
func allJobs(t *testing.T, p place) map[string]string {
	t.Helper()
	rows, err := p.jobs(t).Query("SELECT id, state FROM job")
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

// request sends a request without a body and returns the status of the answer.
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
