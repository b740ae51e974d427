package sqlite

import (
	"database/sql"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
				if made, _, err := RemakeJobs(t.Context(), dir); err != nil || made != want {
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

// inJobs runs statements on the job store of a directory that nobody has open.
func inJobs(t *testing.T, dir string, statements ...string) {
	t.Helper()
	j := newJobs(t, filepath.Join(dir, jobsFile))
	for _, text := range statements {
		if _, err := j.file.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// withoutToken makes a job store one of the version before there were tokens.
func withoutToken(t *testing.T, dir string) {
	t.Helper()
	inJobs(t, dir, `DROP TABLE meta`, `DELETE FROM goose_db_version WHERE version_id = 2`)
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
	s, err := Open(t.Context(), dir, Options{})
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

// TestForeignJobStore puts the job store of another directory, or of another copy of this one,
// in the place of the directory's own: with it the janitor would take the files of all younger
// exports for nobody's. It is refused and left as it is, until somebody gives it up.
func TestForeignJobStore(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, dir string) string{
		"of another directory": func(t *testing.T, _ string) string { return content(t, withToken(t)) },
		"of a new directory":   func(t *testing.T, _ string) string { return content(t, made(t)) },
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
			if i, err := Inspect(t.Context(), dir, CreateInfo{}); err == nil {
				_ = i.Close()
				t.Error("a check or a backup is not refused")
			}
			if content(t, dir) != foreign {
				t.Error("the refusal has changed it")
			}
			made, aside, err := RemakeJobs(t.Context(), dir)
			if err != nil || !made || !strings.HasPrefix(aside, filepath.Join(dir, jobsFile+".foreign-")) {
				t.Fatalf("RemakeJobs: %v, %q, %v", made, aside, err)
			}
			if kept, err := os.ReadFile(aside); err != nil || string(kept) != foreign {
				t.Errorf("what was moved aside is another: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, jobsFile+"*")); len(left) != 2 {
				t.Errorf("files %q", left)
			}
			if jobs := jobIDs(t, dir); jobs != "" {
				t.Errorf("jobs %s", jobs)
			}
			if made, aside, err := RemakeJobs(t.Context(), dir); err != nil || made || aside != "" {
				t.Errorf("again: %v, %q, %v", made, aside, err)
			}
		})
	}
}

// A foreign job store is refused where this directory has drawn no token yet, too.
func TestForeignJobStoreOfUnservedDirectory(t *testing.T) {
	dir := made(t)
	write(t, filepath.Join(dir, jobsFile), content(t, withToken(t)))
	refused(t, dir, "belongs to another directory")
	if made, aside, err := RemakeJobs(t.Context(), dir); err != nil || !made || aside == "" {
		t.Errorf("RemakeJobs: %v, %q, %v", made, aside, err)
	}
	if jobs := jobIDs(t, dir); jobs != "" {
		t.Errorf("jobs %s", jobs)
	}
}

// TestTokenHalfWritten: where the program died before both databases had the token, or where one
// before this version has drawn it, the job store gets it and its jobs stay.
func TestTokenHalfWritten(t *testing.T) {
	for name, undo := range map[string]func(t *testing.T, dir string){
		"of an earlier version": withoutToken,
		"drawn only":            func(t *testing.T, dir string) { inJobs(t, dir, `DELETE FROM meta`) },
		"not noted only":        func(*testing.T, string) {},
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
			withoutToken(t, dir) // now it is noted, and another job store is none of its own
			refused(t, dir, "belongs to another directory")
		})
	}
}

// execute runs a statement on a database that nobody has open.
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
		if _, _, err := RemakeJobs(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not a data directory") {
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
	if made, _, err := RemakeJobs(t.Context(), dir); made || err == nil || !strings.Contains(err.Error(), "served by another process") {
		t.Errorf("%v, %v", made, err)
	}
}
