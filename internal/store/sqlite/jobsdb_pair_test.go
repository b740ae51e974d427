package sqlite

import (
	"database/sql"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/internal/store"
)

// withToken returns a directory that was served before: it has an owner id, and one job.
func withToken(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := openTest(t, dir, time.Now)
	if _, err := s.FilesOwner(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateJob(t.Context(), store.Job{ID: "one", Owner: "anna", Request: []byte("{}"), Created: 1}, 5); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// wantJobsFile checks the size of the job store, -1 for a missing one.
func wantJobsFile(t *testing.T, dir string, size int64) {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, jobsFile))
	if size < 0 && err == nil || size >= 0 && (err != nil || info.Size() != size) {
		t.Errorf("the refusal has changed %s: %v, %v", jobsFile, info, err)
	}
}

// refused opens a directory as each command does. No command may create what is lost.
func refused(t *testing.T, dir string, words ...string) {
	t.Helper()
	wantError(t, dir, store.Options{}, words...)
	wantError(t, dir, store.Options{Create: &testInfo}, words...)
}

// TestLostJobStore loses jobs.db in several ways. The directory is refused, and no new job
// store is created, until the operator gives up the exports.
func TestLostJobStore(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(t *testing.T, dir string)
		size int64
		word string
	}{
		"missing": {func(t *testing.T, dir string) { remove(t, dir, jobsFile) }, -1, "is missing"},
		"empty": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, jobsFile), "")
		}, 0, "is empty"},
		"without tables": {func(t *testing.T, dir string) {
			remove(t, dir, jobsFile)
			emptyDatabase(t, filepath.Join(dir, jobsFile))
		}, 4096, "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := withToken(t)
			c.lose(t, dir)
			for range 2 { // the first refusal must not repair it for the second
				refused(t, dir, jobsFile, c.word, "restore it from a backup together with directory.db", "muster adopt --data "+dir)
				wantJobsFile(t, dir, c.size)
			}
			for n, want := range []bool{true, false} {
				if created, _, err := RecreateJobs(t.Context(), dir); err != nil || created != want {
					t.Errorf("call %d of RecreateJobs: %v, %v", n+1, created, err)
				}
			}
			s, err := Open(t.Context(), dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, jobs, err := s.Objects(t.Context()); err != nil || len(jobs) != 0 {
				t.Errorf("jobs %v, %v", jobs, err)
			}
		})
	}
}

// inJobs runs statements on the job store of a directory that is not open.
func inJobs(t *testing.T, dir string, statements ...string) {
	t.Helper()
	j := newJobs(t, filepath.Join(dir, jobsFile))
	for _, text := range statements {
		if _, err := j.writer.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// withoutToken downgrades a job store to the version before tokens.
func withoutToken(t *testing.T, dir string) {
	t.Helper()
	j := newJobs(t, filepath.Join(dir, jobsFile))
	p, err := provider(jobMigrations, "migrations/jobs", j.writer)
	if err == nil {
		_, err = p.DownTo(t.Context(), 1)
	}
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestJobsOfOlderPrograms checks that a job of a program that did not store clients counts for
// its owner.
func TestJobsOfOlderPrograms(t *testing.T) {
	dir := withToken(t)
	withoutToken(t, dir)
	j := newJobs(t, filepath.Join(dir, jobsFile))
	defer j.Close()
	if job, err := j.Job(t.Context(), "one"); err != nil || job.Client.Name != "principal anna" || job.Client.Wider != "" {
		t.Errorf("the job is %+v, %v", job, err)
	}
}

// content reads the job store of a directory.
func content(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, jobsFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// jobIDs opens a directory and returns the ids of its jobs.
func jobIDs(t *testing.T, dir string) string {
	t.Helper()
	s, err := Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, jobs, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(jobs)), " ")
}

// TestForeignJobStore replaces the job store by that of another directory, or of another copy
// of this one. With it, the janitor would delete the files of all younger exports. The
// directory is refused and not changed, until the operator gives up the exports.
func TestForeignJobStore(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, dir string) string{
		"of another directory": func(t *testing.T, _ string) string { return content(t, withToken(t)) },
		"of a new directory":   func(t *testing.T, _ string) string { return content(t, initialised(t)) },
		"of a backup": func(t *testing.T, dir string) string {
			out := t.TempDir()
			freezeTo(t, dir, out)
			return content(t, out)
		},
		"of an earlier version": func(t *testing.T, _ string) string {
			other := withToken(t)
			withoutToken(t, other)
			return content(t, other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := withToken(t)
			foreign := take(t, dir)
			write(t, filepath.Join(dir, jobsFile), foreign)
			for range 2 {
				refused(t, dir, jobsFile, "belongs to another directory", "from one backup", "muster adopt --data "+dir)
			}
			if i, err := Inspect(t.Context(), dir, store.Identity{}); err == nil {
				_ = i.Close()
				t.Error("a check or a backup is not refused")
			}
			if content(t, dir) != foreign {
				t.Error("the refusal has changed it")
			}
			created, aside, err := RecreateJobs(t.Context(), dir)
			if err != nil || !created || !strings.HasPrefix(aside, filepath.Join(dir, jobsFile+".foreign-")) {
				t.Fatalf("RecreateJobs: %v, %q, %v", created, aside, err)
			}
			if kept, err := os.ReadFile(aside); err != nil || string(kept) != foreign {
				t.Errorf("the file aside differs from the foreign job store: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, jobsFile+"*")); len(left) != 2 {
				t.Errorf("files %q", left)
			}
			if jobs := jobIDs(t, dir); jobs != "" {
				t.Errorf("jobs %s", jobs)
			}
			if created, aside, err := RecreateJobs(t.Context(), dir); err != nil || created || aside != "" {
				t.Errorf("again: %v, %q, %v", created, aside, err)
			}
		})
	}
}

// TestForeignJobStoreOfUnservedDirectory checks a directory that has no token yet.
func TestForeignJobStoreOfUnservedDirectory(t *testing.T) {
	dir := initialised(t)
	write(t, filepath.Join(dir, jobsFile), content(t, withToken(t)))
	refused(t, dir, "belongs to another directory")
	if created, aside, err := RecreateJobs(t.Context(), dir); err != nil || !created || aside == "" {
		t.Errorf("RecreateJobs: %v, %q, %v", created, aside, err)
	}
	if jobs := jobIDs(t, dir); jobs != "" {
		t.Errorf("jobs %s", jobs)
	}
}

// TestTokenHalfWritten checks a directory whose program died before both databases had the
// token, or whose token an earlier version created. The job store gets the token and keeps its
// jobs.
func TestTokenHalfWritten(t *testing.T) {
	for name, undo := range map[string]func(t *testing.T, dir string){
		"of an earlier version": withoutToken,
		"created only":          func(t *testing.T, dir string) { inJobs(t, dir, `DELETE FROM meta`) },
		"not recorded":          func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := withToken(t)
			id := ownerOf(t, dir)
			execute(t, filepath.Join(dir, directoryFile), `DELETE FROM meta WHERE key = '`+pairedKey+`'`)
			undo(t, dir)
			if again := ownerOf(t, dir); again != id {
				t.Errorf("the owner is %s, before %s", again, id)
			}
			if jobs := jobIDs(t, dir); jobs != "one" {
				t.Errorf("jobs %q", jobs)
			}
			withoutToken(t, dir) // the token is recorded now, so a job store without it is foreign
			refused(t, dir, "belongs to another directory")
		})
	}
}

// execute runs a statement on a database that is not open.
func execute(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", fileURL(path, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// emptyDatabase creates a database with a header and without tables.
func emptyDatabase(t *testing.T, path string) {
	t.Helper()
	j := newJobs(t, path)
	for _, text := range []string{`PRAGMA writable_schema = 1`, `DELETE FROM sqlite_schema`, `PRAGMA writable_schema = 0`, `VACUUM`} {
		if _, err := j.writer.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLostJobStoreOfUnservedDirectory checks that a directory that was never served is refused
// too if jobs.db is missing, but not if its initialisation was interrupted before jobs.db had
// tables.
func TestLostJobStoreOfUnservedDirectory(t *testing.T) {
	dir := initialised(t)
	remove(t, dir, jobsFile)
	refused(t, dir, jobsFile, "is missing", "muster adopt")
	write(t, filepath.Join(dir, jobsFile), "")
	s, err := Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatalf("an initialisation that was interrupted before jobs.db had tables: %v", err)
	}
	_ = s.Close()
}

// TestLostDirectory checks that no directory is created beside the jobs of another one.
func TestLostDirectory(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		dir := withToken(t)
		remove(t, dir, directoryFile)
		wantError(t, dir, store.Options{Create: &testInfo}, directoryFile, "restore both from a backup", "new directory")
		if IsDirectory(dir) {
			t.Error("a directory was created beside an old jobs.db")
		}
		if _, _, err := RecreateJobs(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not a data directory") {
			t.Errorf("RecreateJobs: %v", err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		dir := withToken(t)
		write(t, filepath.Join(dir, directoryFile), "")
		refused(t, dir, directoryFile, "restore both from a backup")
		if info, err := os.Stat(filepath.Join(dir, directoryFile)); err != nil || info.Size() != 0 {
			t.Errorf("the refusal has written: %v, %v", info, err)
		}
	})
}

// TestRecreateJobsWhileServed checks that RecreateJobs returns an error while a server runs.
func TestRecreateJobsWhileServed(t *testing.T) {
	dir := withToken(t)
	lock, err := LockServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if created, _, err := RecreateJobs(t.Context(), dir); created || err == nil || !strings.Contains(err.Error(), "served by another process") {
		t.Errorf("%v, %v", created, err)
	}
}
