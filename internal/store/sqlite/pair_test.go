package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/store"
)

// withToken returns a directory that was served before: it has drawn its id as an owner. A job
// is in it.
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

// wantNoJobs fails if there is a job store that is not empty.
func wantNoJobs(t *testing.T, dir string, size int64) {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, jobsFile))
	if size < 0 && err == nil || size >= 0 && (err != nil || info.Size() != size) {
		t.Errorf("the refusal has changed %s: %v, %v", jobsFile, info, err)
	}
}

// refused opens a directory as each command does: none may make what is lost.
func refused(t *testing.T, dir string, words ...string) {
	t.Helper()
	wantError(t, dir, Options{}, words...)
	wantError(t, dir, Options{Create: &testInfo}, words...)
}

// TestLostJobStore loses jobs.db in all the ways: the directory is refused, and nothing is made
// in its place, until somebody gives the exports up.
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
			for range 2 { // the first refusal must not mend it for the second
				refused(t, dir, jobsFile, c.word, "restore it from a backup together with directory.db", "muster adopt --data "+dir)
				wantNoJobs(t, dir, c.size)
			}
			for n, want := range []bool{true, false} {
				if made, err := RemakeJobs(t.Context(), dir); err != nil || made != want {
					t.Errorf("call %d of RemakeJobs: %v, %v", n+1, made, err)
				}
			}
			s, err := Open(t.Context(), dir, Options{})
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

// emptyDatabase makes a database that has a header and no tables.
func emptyDatabase(t *testing.T, path string) {
	t.Helper()
	j := newJobs(t, path)
	for _, text := range []string{`PRAGMA writable_schema = 1`, `DELETE FROM sqlite_schema`, `PRAGMA writable_schema = 0`, `VACUUM`} {
		if _, err := j.file.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// A directory that was never served and has lost jobs.db is refused too; one whose making was
// cut off before jobs.db had tables is not.
func TestLostJobStoreOfUnservedDirectory(t *testing.T) {
	dir := made(t)
	remove(t, dir, jobsFile)
	refused(t, dir, jobsFile, "is missing", "muster adopt")
	write(t, filepath.Join(dir, jobsFile), "")
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatalf("a making that was cut off before jobs.db had tables: %v", err)
	}
	_ = s.Close()
}

// Old jobs name rows of their own directory: no other one is made beside them.
func TestLostDirectory(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		dir := withToken(t)
		remove(t, dir, directoryFile)
		wantError(t, dir, Options{Create: &testInfo}, directoryFile, "restore both from a backup", "new directory")
		if IsDirectory(dir) {
			t.Error("a directory was made beside an old jobs.db")
		}
		if _, err := RemakeJobs(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not a data directory") {
			t.Errorf("RemakeJobs: %v", err)
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

// RemakeJobs changes nothing below a server.
func TestRemakeJobsWhileServed(t *testing.T) {
	dir := withToken(t)
	lock, err := LockServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if made, err := RemakeJobs(t.Context(), dir); made || err == nil || !strings.Contains(err.Error(), "served by another process") {
		t.Errorf("%v, %v", made, err)
	}
}
