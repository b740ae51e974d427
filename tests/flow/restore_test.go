package flow

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
)

// TestRestoreBesideProduction is a restore drill: while production runs, a server is started on
// a database that was restored from a backup, by mistake with production's folder of export files.
// The server refuses to start and says what to do, and no file is removed. With the
// folder of the backup it starts.
func TestRestoreBesideProduction(t *testing.T) { onBothDatabases(t, restoreBesideProduction) }

func restoreBesideProduction(t *testing.T, newDeployment func(*testing.T) deployment) {
	p := newDeployment(t)
	p.load(t, practitioners(t, 500, "Drill"))
	production := p.serve(t, "", "--part-bytes", "20000", "--sweep-every", "200ms")
	kept := production.wait(production.kickOff(everyPractitioner)) // is in the backup
	out := filepath.Join(t.TempDir(), "copy")
	p.command(t, "backup", "--out", out)
	later := production.wait(production.kickOff(everyPractitioner)) // is not in the backup
	want := files(t, later)
	before := tree(t, p.data)
	if copied, own := ownerID(t, out), ownerID(t, p.data); own == "" || copied == own || (copied == "") != (p.database != "") {
		t.Errorf("the owner of production's files is %q, that of the copy %q", own, copied)
	}

	restored := newDeployment(t)
	if p.database != "" {
		restored.database = restoreDump(t, p.database, filepath.Join(out, "directory.dump"))
		restored.data = p.data
	} else {
		restored.data = filepath.Join(t.TempDir(), "restored")
		copyFile(t, filepath.Join(out, "directory.db"), filepath.Join(restored.data, "directory.db"))
		copyFile(t, filepath.Join(out, "jobs.db"), filepath.Join(restored.data, "jobs.db"))
		if err := os.Symlink(filepath.Join(p.data, "files"), filepath.Join(restored.data, "files")); err != nil {
			t.Fatal(err)
		}
	}
	restored.refused(t, p, "holds the export files of another directory", "run: muster adopt --data "+restored.data)
	if after := tree(t, p.data); !maps.Equal(before, after) {
		t.Errorf("production's files are %v, before %v", after, before)
	}
	for n, part := range files(t, later) {
		if string(part) != string(want[n]) {
			t.Errorf("part %d has changed", n)
		}
	}
	p.verify(t)

	restored.data = out
	again := restored.serve(t, "", "--base-url", production.Base, "--sweep-every", "200ms")
	again.noOrphans(out, len(want))
	again.kickOff(testkit.Parameters(kept.TransactionTime, "Practitioner?_lastUpdated=ge1900-01-01"))
	if _, err := again.KickOff(testkit.Parameters(later.TransactionTime, "Practitioner?_lastUpdated=ge1900-01-01")); err == nil || !strings.Contains(err.Error(), "was restored from a backup") {
		t.Errorf("a kick-off with a time that production has issued after the backup: %v", err)
	}
	restored.verify(t)

	// Production continues, also after a restart.
	production.Kill()
	p.serve(t, "", "--sweep-every", "200ms")
	files(t, later)
}

// TestFolderTakenOver takes production's folder over for a restored directory: the
// directory's own files are kept, and files of unknown jobs are kept for an hour.
// Production is stopped first, and refuses to start later.
func TestFolderTakenOver(t *testing.T) { onBothDatabases(t, folderTakenOver) }

func folderTakenOver(t *testing.T, newDeployment func(*testing.T) deployment) {
	p, other := newDeployment(t), newDeployment(t)
	for _, at := range []deployment{p, other} {
		at.load(t, practitioners(t, 300, "Taken"))
	}
	production := p.serve(t, "", "--part-bytes", "20000", "--sweep-every", "50ms")
	production.wait(production.kickOff(everyPractitioner))
	before := tree(t, p.data)
	if err := os.MkdirAll(other.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(p.data, "files"), filepath.Join(other.data, "files")); err != nil {
		t.Fatal(err)
	}
	other.refused(t, p, "run: muster adopt --data "+other.data)
	if _, err := muster.Run(append([]string{"adopt"}, other.options()...)...); err == nil || !strings.Contains(err.Error(), "is used by a server: stop that server first") {
		t.Errorf("adopt while another server uses the folder: %v", err)
	}
	production.Kill()
	said := other.command(t, "adopt")
	for _, want := range []string{"belongs to this directory now; it belonged to another directory", fmt.Sprintf("the exports of %d files", len(before))} {
		if !strings.Contains(said, want) {
			t.Errorf("adopt says %q, want %q", said, want)
		}
	}
	now := other.serve(t, "", "--part-bytes", "20000", "--sweep-every", "50ms")
	mine := now.wait(now.kickOff(everyPractitioner))
	p.refused(t, p, "holds the export files of another directory")
	files(t, mine)
	for name := range before {
		if _, err := os.Stat(filepath.Join(p.data, "files", name)); err != nil {
			t.Error(err)
		}
	}
	// A directory that is being served cannot take a folder over: its server is using one.
	if _, err := muster.Run(append([]string{"adopt"}, other.options()...)...); err == nil || !strings.Contains(err.Error(), "served") {
		t.Errorf("adopt while it is served: %v", err)
	}
}

// TestEqualCopies serves a copy of a directory, made with cp, on the export folder of the
// original: both have the same owner id, so the second server is refused while the first
// runs.
func TestEqualCopies(t *testing.T) {
	p := newDeployment(t)
	p.load(t, practitioners(t, 300, "Equal"))
	first := p.serve(t, "")
	if err := first.Terminate(); err != nil {
		t.Fatal(err)
	}
	copied := newDeployment(t)
	for _, name := range []string{"directory.db", "jobs.db"} {
		copyFile(t, filepath.Join(p.data, name), filepath.Join(copied.data, name))
	}
	if err := os.Symlink(filepath.Join(p.data, "files"), filepath.Join(copied.data, "files")); err != nil {
		t.Fatal(err)
	}
	production := p.serve(t, "", "--part-bytes", "20000", "--sweep-every", "50ms")
	m := production.wait(production.kickOff(everyPractitioner))
	before := tree(t, p.data)
	copied.refused(t, p, "is used by another server", "give this directory a folder of its own")
	if after := tree(t, p.data); !maps.Equal(before, after) {
		t.Errorf("production's files are %v, before %v", after, before)
	}
	files(t, m)
}

// TestRestoredInPlace restores a dump into its own database, over the current state. The
// restored state does not have the later exports, so the server is refused the folder.
func TestRestoredInPlace(t *testing.T) {
	p := newPostgresDeployment(t)
	p.load(t, practitioners(t, 300, "Place"))
	s := p.serve(t, "", "--part-bytes", "20000")
	out := filepath.Join(t.TempDir(), "copy")
	p.command(t, "backup", "--out", out)
	s.wait(s.kickOff(everyPractitioner))
	before := tree(t, p.data)
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	restore := exec.Command("pg_restore", "--clean", "--if-exists", "--no-owner", "--schema="+schemaOf(t, p.database), "--dbname="+plainURL(t, p.database),
		filepath.Join(out, "directory.dump"))
	if output, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, output)
	}
	p.refused(t, p, "holds the export files of another directory", "run: muster adopt --data "+p.data)
	if after := tree(t, p.data); !maps.Equal(before, after) {
		t.Errorf("the files are %v, before %v", after, before)
	}
	p.command(t, "adopt")
	again := p.serve(t, "", "--sweep-every", "50ms")
	again.wait(again.kickOff(everyPractitioner))
	again.noOrphans(p.data, len(before)+1) // files of unknown jobs are kept for an hour
}

// TestHalfRestoredDump restores parts of a dump. Without indexes, a table or the data of a table
// nothing is served, and the server and the check say why; with missing rows the exports that need them fail.
// Complete, it is served, also from its files folder alone.
func TestHalfRestoredDump(t *testing.T) {
	p := newPostgresDeployment(t)
	p.load(t, practitioners(t, 300, "Half"))
	production := p.serve(t, "", "--part-bytes", "20000")
	before := production.wait(production.kickOff(everyPractitioner))
	want := files(t, before)
	out := filepath.Join(t.TempDir(), "copy")
	p.command(t, "backup", "--out", out)
	production.Kill()

	dump := filepath.Join(out, "directory.dump")
	restored := deployment{data: out, address: p.address, database: restoreDump(t, p.database, dump, "pre-data", "data")}
	incomplete := func(what string) {
		t.Helper()
		restored.refused(t, restored, "the database is incomplete", what, "restore all of the dump again")
		if said, err := muster.Run(append([]string{"check"}, restored.options()...)...); err == nil || !strings.Contains(said, "the database is incomplete") {
			t.Errorf("the check says %q, %v", said, err)
		}
	}
	incomplete("1 of the 1 foreign keys of table part")
	restoreSections(t, restored.database, dump, "post-data")
	restored.run(t, `ALTER TABLE ix_string RENAME TO elsewhere`)
	incomplete("table ix_string is missing")
	restored.run(t, `ALTER TABLE elsewhere RENAME TO ix_string`)

	restored.verify(t)
	s := restored.serve(t, "", "--part-bytes", "20000")
	for n, part := range files(t, before) { // the same base URL
		if string(part) != string(want[n]) {
			t.Errorf("part %d has changed", n)
		}
	}
	s.wait(s.kickOff(everyPractitioner))
	s.Kill()

	restored.run(t, `DELETE FROM resource WHERE row_key IN (SELECT row_key FROM resource ORDER BY row_key DESC LIMIT 5)`)
	if said, err := muster.Run(append([]string{"check"}, restored.options()...)...); err == nil {
		t.Errorf("lost rows are not found: %s", said)
	}
	again := restored.serve(t, "")
	if m, err := again.Wait(t.Context(), again.kickOff(everyPractitioner)); err == nil || !strings.Contains(err.Error(), "are damaged") {
		t.Errorf("an export without the lost rows: %+v, %v", m, err)
	}
	again.Kill()

	// A list of entries without the data of one table: pg_restore reports nothing.
	list, err := exec.Command("pg_restore", "--list", dump).Output()
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`(?m)^.* TABLE DATA \S+ ix_token .*\n`)
	if n := len(entry.FindAll(list, -1)); n != 1 {
		t.Fatalf("%d entries with the data of ix_token:\n%s", n, list)
	}
	entries := filepath.Join(t.TempDir(), "entries")
	if err := os.WriteFile(entries, entry.ReplaceAll(list, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	restored.database = restoreDump(t, p.database, dump, "pre-data")
	restore := exec.Command("pg_restore", "--no-owner", "--section=data", "--section=post-data", "--use-list="+entries, "--dbname="+plainURL(t, restored.database), dump)
	if output, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, output)
	}
	incomplete("the data of ix_token is missing")
}

// run runs a statement on the database of the deployment.
func (p deployment) run(t *testing.T, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", p.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// TestJobStoreOfBackup combines the jobs.db of a backup with a newer directory.db: the
// server, to which newer exports would be orphans, refuses to start and removes no file.
func TestJobStoreOfBackup(t *testing.T) {
	p := newDeployment(t)
	p.load(t, practitioners(t, 300, "Older"))
	s := p.serve(t, "", "--part-bytes", "20000")
	out := filepath.Join(t.TempDir(), "copy")
	p.command(t, "backup", "--out", out)
	s.wait(s.kickOff(everyPractitioner))
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	before := tree(t, p.data)
	copyFile(t, filepath.Join(out, "jobs.db"), filepath.Join(p.data, "jobs.db"))
	p.refused(t, p, "belongs to another directory, or to another copy", "run: muster adopt --data "+p.data)
	if output := p.command(t, "adopt"); !strings.Contains(output, "is kept as "+filepath.Join(p.data, "jobs.db.foreign-")) {
		t.Errorf("adopt says %q", output)
	}
	again := p.serve(t, "", "--part-bytes", "20000", "--sweep-every", "50ms")
	again.wait(again.kickOff(everyPractitioner))
	again.noOrphans(p.data, 2*len(before))
	p.verify(t)
}

// TestJobStoreLost removes jobs.db: a server, to which all files would be orphans,
// refuses to start and removes no file.
func TestJobStoreLost(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newDeployment(t)
			p.load(t, practitioners(t, 300, "Lost"))
			s := p.serve(t, "", "--part-bytes", "20000")
			s.wait(s.kickOff(everyPractitioner))
			if err := s.Terminate(); err != nil {
				t.Fatal(err)
			}
			before := tree(t, p.data)
			if err := lose(filepath.Join(p.data, "jobs.db")); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				p.refused(t, p, "jobs.db, which holds the exports and the registered clients", "run: muster adopt --data "+p.data)
			}
			if out, err := muster.Run("check", "--data", p.data); err == nil {
				t.Errorf("a check finds nothing: %s", out)
			}
			if after := tree(t, p.data); !maps.Equal(before, after) {
				t.Errorf("the files are %v, before %v", after, before)
			}
			if output := p.command(t, "adopt"); !strings.Contains(output, "a new, empty jobs.db was made") || !strings.Contains(output, fmt.Sprintf("the exports of %d files", len(before))) {
				t.Errorf("adopt says %q", output)
			}
			again := p.serve(t, "", "--part-bytes", "20000", "--sweep-every", "50ms")
			again.wait(again.kickOff(everyPractitioner))
			again.noOrphans(p.data, 2*len(before)) // lost files are kept for an hour
			p.verify(t)
		})
	}
}

// TestMovedDirectory moves a data directory, puts a backup in its place, and makes a
// backup of a backup: each of them can be served.
func TestMovedDirectory(t *testing.T) {
	p := newDeployment(t)
	p.load(t, practitioners(t, 300, "Moved"))
	s := p.serve(t, "", "--part-bytes", "20000")
	m := s.wait(s.kickOff(everyPractitioner))
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	p.command(t, "backup", "--out", first)
	if _, err := muster.Run("backup", "--data", first, "--out", second); err != nil {
		t.Fatal(err)
	}
	serves := func(data string) {
		t.Helper()
		s := deployment{data: data, address: p.address}.serve(t, "", "--sweep-every", "50ms")
		files(t, m)
		s.noOrphans(data, len(m.Output))
		s.Kill()
		deployment{data: data}.verify(t)
	}
	s.Kill()
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(p.data, moved); err != nil {
		t.Fatal(err)
	}
	serves(moved)
	if err := os.Rename(first, p.data); err != nil { // restored in place
		t.Fatal(err)
	}
	serves(p.data)
	serves(second)
}

// refused starts a server with the base URL of the deployment public, and fails the test
// unless the server exits with code 1 and the texts in its log.
func (p deployment) refused(t *testing.T, public deployment, words ...string) {
	t.Helper()
	base := "http://" + public.address + "/fhir"
	r, err := muster.Start("", append([]string{"serve", "--listen", p.address, "--base-url", base, "--sweep-every", "50ms"}, p.options()...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	select {
	case <-r.Exited():
	case <-time.After(testkit.Patience):
		t.Fatalf("the server was not refused:\n%s", r.Log())
	}
	if code := r.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, word := range words {
		if !strings.Contains(r.Log(), word) {
			t.Errorf("it does not say %q:\n%s", word, r.Log())
		}
	}
}

// command runs a command on the deployment and returns its output.
func (p deployment) command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := muster.Run(append(args, p.options()...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tree returns the sizes of the export files of a data directory by name.
func tree(t *testing.T, data string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	root := filepath.Join(data, "files")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".owner") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		found[name] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 2 {
		t.Fatalf("only %d files: the test requires at least 2", len(found))
	}
	return found
}

// ownerID returns the owner id of a folder of export files, or "".
func ownerID(t *testing.T, data string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "files", ".owner"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	bytes, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
}
