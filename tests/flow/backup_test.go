package flow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/testkit"
)

// TestBackupUnderLoad copies a directory while a loader writes and exports run. The
// copy is whole, its live jobs end, and what it holds is the directory at its
// moment: with the changes since then it gives what the directory has later.
func TestBackupUnderLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, newPlace func(*testing.T) place) { backupUnderLoad(t, newPlace(t)) })
}

func backupUnderLoad(t *testing.T, p place) {
	waves := []string{practitioners(t, 3000, "Ebb"), practitioners(t, 3000, "Flood")}
	p.load(t, waves[0])
	s := p.serve(t, "", "--part-bytes", "60000", "--jobs", "0", "--sweep-every", "200ms")

	var work sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); work.Wait() })
	t.Cleanup(end) // also when the test ends before its time
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	work.Go(func() {
		for n := 1; running(); n++ {
			if _, err := muster.Run(append(append([]string{"load"}, p.directory()...), waves[n%2])...); err != nil {
				t.Error(err)
				return
			}
		}
	})
	kicked := make(chan struct{})
	work.Go(func() {
		defer close(kicked)
		for range 12 {
			if _, err := s.KickOff(everyPractitioner); err != nil {
				t.Error(err)
				return
			}
		}
	})
	<-kicked
	s.wait(s.kickOff(everyPractitioner)) // writers and exports are well under way
	for range 6 {
		s.kickOff(everyPractitioner)
	}
	out := filepath.Join(t.TempDir(), "copy")
	said, err := muster.Run(append([]string{"backup", "--out", out}, p.where()...)...)
	end()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(strings.TrimSpace(said))
	moment := regexp.MustCompile(`is of (\S+),`).FindStringSubmatch(said)[1]
	since := testkit.Parameters(moment, "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z")
	delta := versions(t, files(t, s.wait(s.kickOff(since))))
	now := versions(t, files(t, s.wait(s.kickOff(everyPractitioner))))
	p.whole(t)
	s.Kill()

	restored := place{data: out, address: p.address}
	if p.database != "" {
		restored.database = restoreDump(t, p.database, filepath.Join(out, "directory.dump"))
	}
	restored.whole(t)
	live := restored.liveJobs(t)
	if len(live) == 0 {
		t.Error("no job was live at the moment of the copy: the test shows too little")
	}
	again := restored.serve(t, "", "--part-bytes", "60000", "--jobs", "0")
	for _, id := range live {
		m := again.wait(again.Base + "/$export-poll-status?_jobId=" + id)
		if n := len(versions(t, files(t, m))); n != 3000 {
			t.Errorf("job %s of the copy has %d resources, want 3000", id, n)
		}
	}
	then := versions(t, files(t, again.wait(again.kickOff(everyPractitioner))))
	for id, version := range delta {
		if then[id] == version {
			t.Fatalf("%s has version %s in the copy and in the changes after it", id, version)
		}
	}
	maps.Copy(then, delta)
	if !maps.Equal(then, now) {
		t.Errorf("the copy with the changes after it has not what the directory has: %d and %d resources", len(then), len(now))
	}
	restored.whole(t)
}

// restoreDump makes a database on the server of another one, restores a dump of that
// into it, and returns its URL.
func restoreDump(t *testing.T, other, dump string) string {
	t.Helper()
	u, err := url.Parse(other)
	if err != nil {
		t.Fatal(err)
	}
	schema, name := schemaOf(t, other), "muster_restored_"+strings.ToLower(rand.Text())
	run := func(database, statement string) {
		t.Helper()
		u.Path = "/" + database
		db, err := sql.Open("pgx", u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run("postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { run("postgres", "DROP DATABASE "+name+" WITH (FORCE)") })
	run(name, "CREATE SCHEMA IF NOT EXISTS "+schema)
	u.Path = "/" + name
	restore := exec.Command("pg_restore", "--no-owner", "--schema="+schema, "--dbname="+plainURL(t, u.String()), dump)
	if said, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, said)
	}
	return u.String()
}

// schemaOf is the schema that holds the tables.
func schemaOf(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Or(u.Query().Get("search_path"), "public")
}

// plainURL is the URL of a database as the programs of PostgreSQL understand it.
func plainURL(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: u.Path}).String()
}

// versions reads NDJSON into ids with their versions; an id that comes twice fails
// the test.
func versions(t *testing.T, parts [][]byte) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, part := range parts {
		for line := range bytes.Lines(part) {
			var r struct {
				ID   string
				Meta struct{ VersionID string }
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			if found[r.ID] != "" {
				t.Fatalf("%s comes twice", r.ID)
			}
			found[r.ID] = r.Meta.VersionID
		}
	}
	return found
}

// liveJobs returns the ids of the jobs that are not finished.
func (p place) liveJobs(t *testing.T) (ids []string) {
	t.Helper()
	rows, err := p.jobs(t).Query("SELECT id FROM job WHERE state IN ('accepted', 'selecting', 'writing')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// TestBackupKilled kills a backup early and late: under its name is nothing, or, when
// it was killed after its last step, a whole copy.
func TestBackupKilled(t *testing.T) {
	p := newPlace(t)
	p.load(t, practitioners(t, 5000, "Before"))
	out := filepath.Join(t.TempDir(), "copy")
	for _, after := range []time.Duration{5, 20, 40} {
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		err := muster.Kill(ctx, "backup", "--data", p.data, "--out", out)
		cancel()
		left, globErr := filepath.Glob(filepath.Join(out, "*"))
		if globErr != nil {
			t.Fatal(globErr)
		}
		if err == nil || len(left) > 0 { // it was faster
			place{data: out}.whole(t)
			return
		}
	}
	if _, err := muster.Run("backup", "--data", p.data, "--out", out); err != nil {
		t.Fatal(err)
	}
	restored := place{data: out}
	restored.whole(t)
	if !slices.Contains(fileNames(t, out), "directory.db") {
		t.Error("the copy has no directory.db")
	}
}

func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	return names
}
