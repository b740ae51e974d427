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

// TestBackupUnderLoad backs up a directory while a loader writes and exports run. It
// checks that the copy passes a deep check, that a server on the copy completes the jobs that
// were live, and that the copy with the changes since its time equals the later directory.
func TestBackupUnderLoad(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) { backupUnderLoad(t, newDeployment(t)) })
}

func backupUnderLoad(t *testing.T, p deployment) {
	waves := []string{practitioners(t, 3000, "Ebb"), practitioners(t, 3000, "Flood")}
	p.load(t, waves[0])
	s := p.serve(t, "", "--part-bytes", "60000", "--jobs", "0", "--sweep-every", "200ms")

	var work sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); work.Wait() })
	t.Cleanup(end) // also if the test fails
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
	s.wait(s.kickOff(everyPractitioner)) // writers and exports are running
	for range 6 {
		s.kickOff(everyPractitioner)
	}
	out := filepath.Join(t.TempDir(), "copy")
	output, err := muster.Run(append([]string{"backup", "--out", out}, p.options()...)...)
	end()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(strings.TrimSpace(output))
	at := regexp.MustCompile(`last change at (\S+),`).FindStringSubmatch(output)[1]
	since := testkit.Parameters(at, "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z")
	delta := versions(t, files(t, s.wait(s.kickOff(since))))
	now := versions(t, files(t, s.wait(s.kickOff(everyPractitioner))))
	p.verify(t)
	s.Kill()

	restored := deployment{data: out, address: p.address}
	if p.database != "" {
		restored.database = restoreDump(t, p.database, filepath.Join(out, "directory.dump"))
	}
	restored.verify(t)
	live := restored.liveJobs(t)
	if len(live) == 0 {
		t.Error("no job was live at the time of the backup: the test proves too little")
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
		t.Errorf("the copy with the later changes differs from the directory: %d and %d resources", len(then), len(now))
	}
	restored.verify(t)
}

// restoreDump creates a database on the server of another one, restores a dump into it, or some
// sections of it, and returns its URL.
func restoreDump(t *testing.T, other, dump string, sections ...string) string {
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
	restoreSections(t, u.String(), dump, sections...)
	return u.String()
}

// restoreSections restores some sections of a dump into a database, or all of it.
func restoreSections(t *testing.T, database, dump string, sections ...string) {
	t.Helper()
	args := []string{"--no-owner", "--schema=" + schemaOf(t, database), "--dbname=" + plainURL(t, database)}
	for _, section := range sections {
		args = append(args, "--section="+section)
	}
	if output, err := exec.Command("pg_restore", append(args, dump)...).CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, output)
	}
}

// schemaOf returns the schema of the tables.
func schemaOf(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Or(u.Query().Get("search_path"), "public")
}

// plainURL returns the URL of a database as PostgreSQL's programs accept it.
func plainURL(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: u.Path}).String()
}

// versions returns the versions in NDJSON by id; a repeated id fails the test.
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

// liveJobs returns the ids of the live jobs.
func (p deployment) liveJobs(t *testing.T) (ids []string) {
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

// TestBackupKilled kills a backup early and late: it leaves no copy or, if it was killed
// after its last step, a complete one.
func TestBackupKilled(t *testing.T) {
	p := newDeployment(t)
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
		if err == nil || len(left) > 0 { // the backup had completed
			deployment{data: out}.verify(t)
			return
		}
	}
	if _, err := muster.Run("backup", "--data", p.data, "--out", out); err != nil {
		t.Fatal(err)
	}
	restored := deployment{data: out}
	restored.verify(t)
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

// TestBackupOfUnfinishedReindex kills a reindex and makes a backup, which warns. The copy is refused
// until a reindex has finished on it.
func TestBackupOfUnfinishedReindex(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, practitioners(t, 20, "Reindex"))
		reindex, err := muster.Start("directory.reindex.commit", append([]string{"reindex"}, p.directory()...)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := reindex.WaitKilled(); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "copy")
		if printed := p.command(t, "backup", "--out", out); !strings.Contains(printed, "warning: the directory has a reindex that is not finished") {
			t.Errorf("the backup does not warn: %s", printed)
		}
		copied := deployment{data: out, address: p.address}
		if p.database != "" {
			copied.database = restoreDump(t, p.database, filepath.Join(out, "directory.dump"))
		}
		copied.refused(t, p, "its reindex was not finished: run 'muster reindex' on it")
		if _, err := muster.Run(append([]string{"reindex"}, copied.directory()...)...); err != nil {
			t.Fatal(err)
		}
		copied.verify(t)
	})
}
