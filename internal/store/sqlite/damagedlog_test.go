package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/store"
)

const (
	logHeader = 32 // bytes
	logFrame  = 24 + 4096
)

// leftOpen returns the open store of a directory whose logs have commits that wait for the disk, of
// resources and of an export.
func leftOpen(t *testing.T) (dir string, s *Store) {
	t.Helper()
	dir = withToken(t)
	s = openTest(t, dir, time.Now)
	for _, ids := range []string{"first", "second", "third"} {
		apply(t, s, ids)
	}
	task, err := s.Claim(t.Context(), "w", 10, 1000, store.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.OpenSnapshot(t.Context(), func(ctx context.Context, at fhir.Instant) error { return s.BeginSelecting(ctx, task, at, 10) })
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(snap.Close(), s.CreateJob(t.Context(), store.Job{ID: "two", Owner: "anna", Request: []byte("{}"), Created: 1}, 5))
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// killed copies the files of a directory as they are when its program is killed.
func killed(t *testing.T, dir string) (copied string) {
	t.Helper()
	copied = t.TempDir()
	for _, name := range bothFiles {
		for _, ending := range []string{"", "-wal", "-synced"} {
			file, err := os.ReadFile(filepath.Join(dir, name+ending))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(copied, name+ending), string(file))
		}
	}
	return copied
}

// flip flips a bit of a frame of an open log.
func flip(t *testing.T, log string, frame int) {
	t.Helper()
	f, err := os.OpenFile(log, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, b := int64(logHeader+(frame-1)*logFrame+500), make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedLogOfKilledProgram damages the log of each database after a kill. Each command refuses
// the directory, names the frame, and writes nothing.
func TestDamagedLogOfKilledProgram(t *testing.T) {
	dir, _ := leftOpen(t)
	whole := killed(t, dir)
	s, err := Open(t.Context(), killed(t, dir), store.Options{})
	if err != nil {
		t.Fatal("undamaged:", err)
	}
	_ = s.Close()
	for _, name := range bothFiles {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(copied, name+"-wal")
		flip(t, log, 2)
		before, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		words := []string{"frame 2 of " + name + "-wal in " + copied + " is damaged", "restore a backup"}
		if name == jobsFile {
			words = append(words, "muster adopt --data "+copied)
		}
		for range 2 {
			refused(t, copied, words...)
		}
		i, err := Inspect(t.Context(), copied, store.Identity{})
		if err == nil {
			_ = i.Close()
		}
		if kind, _ := damage.KindOf(err); kind != damage.Database {
			t.Errorf("%s: a check or a backup: %v", name, err)
		}
		if _, _, err := RecreateJobs(t.Context(), copied); err == nil {
			t.Errorf("%s: new jobs were created", name)
		}
		if after, err := os.ReadFile(log); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the refusal has changed the log: %v", name, err)
		}
		var found []string
		err = DamagedPages(copied, func(p store.IntegrityProblem) error {
			found = append(found, p.Place+": "+p.Problem)
			return nil
		})
		if err != nil || len(found) != 1 || !strings.HasPrefix(found[0], name+": frame 2 of "+name+"-wal is damaged") {
			t.Errorf("%s: found %q, %v", name, found, err)
		}
		if name == jobsFile { // what keeps the resources
			remove(t, copied, jobsFile)
			remove(t, copied, jobsFile+"-wal")
			if created, _, err := RecreateJobs(t.Context(), copied); err != nil || !created {
				t.Errorf("RecreateJobs: %t, %v", created, err)
			}
		}
	}
}

// TestDamagedLogOfOpenStore damages the log of each database while it is open. A check reports it,
// closing the store too, and the directory cannot be opened again.
func TestDamagedLogOfOpenStore(t *testing.T) {
	for _, name := range bothFiles {
		dir, s := leftOpen(t)
		if err := s.LogFailure(); err != nil {
			t.Error("undamaged:", err)
		}
		log := filepath.Join(dir, name+"-wal")
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		frames := int(info.Size()-logHeader) / logFrame
		flip(t, log, frames) // the last frame of a page is one that the database needs
		var found []string
		i, err := Inspect(t.Context(), dir, store.Identity{})
		if err == nil {
			found = problems(t, dir, false)
			_ = i.Close()
		} else { // opening it needs the frame
			found = append(found, err.Error())
		}
		if got := strings.Join(found, "\n"); !strings.Contains(got, fmt.Sprintf("frame %d of %s-wal", frames, name)) {
			t.Errorf("%s: a check: %s", name, got)
		}
		if name == directoryFile {
			_, err := s.TruncateLog(t.Context())
			for _, err := range []error{err, s.LogFailure()} {
				if kind, _ := damage.KindOf(err); kind != damage.Database {
					t.Errorf("a checkpoint: %v", err)
				}
			}
		}
		err = s.Close()
		if kind, _ := damage.KindOf(err); kind != damage.Database || !strings.Contains(err.Error(), "of "+name+"-wal in "+dir+" is damaged") {
			t.Errorf("%s: closing the store: %v", name, err)
		}
		refused(t, dir, name+"-wal in "+dir+" is damaged")
	}
}

// TestLostLog loses the log of each database after a kill, in a directory whose pairing is still in
// the logs. Each command refuses the directory and writes nothing, whatever else the loss looks like.
func TestLostLog(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, time.Now)
	if _, err := s.FilesOwner(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, "first")
	for _, name := range bothFiles {
		for how, lose := range map[string]func(t *testing.T, log string) error{
			"deleted": func(_ *testing.T, log string) error { return os.Remove(log) },
			"emptied": func(_ *testing.T, log string) error { return os.Truncate(log, 0) },
			"zeroed": func(_ *testing.T, log string) error {
				return errors.Join(os.Truncate(log, 0), os.Truncate(log, 100_000))
			},
		} {
			copied := killed(t, dir)
			if err := lose(t, filepath.Join(copied, name+"-wal")); err != nil {
				t.Fatal(err)
			}
			before := listed(t, copied)
			words := []string{name + " in " + copied + " has lost what was committed last", name + "-wal is missing or empty"}
			if how == "zeroed" {
				words = []string{"the header of " + name + "-wal in " + copied + " is damaged"}
			}
			refused(t, copied, append(words, "restore a backup")...)
			_, err := Inspect(t.Context(), copied, store.Identity{})
			if kind, _ := damage.KindOf(err); kind != damage.Database {
				t.Errorf("%s %s: a check: %v", name, how, err)
			}
			if created, _, err := RecreateJobs(t.Context(), copied); err == nil || created {
				t.Errorf("%s %s: new jobs were created: %v", name, how, err)
			}
			if after := listed(t, copied); after != before {
				t.Errorf("%s %s: the refusal has changed files:\n%s\nbefore:\n%s", name, how, after, before)
			}
			if name == jobsFile { // what the error says
				remove(t, copied, jobsFile)
				if how != "deleted" {
					remove(t, copied, jobsFile+"-wal")
				}
				if created, _, err := RecreateJobs(t.Context(), copied); err != nil || !created {
					t.Errorf("RecreateJobs: %t, %v", created, err)
				}
				if jobs := jobIDs(t, copied); jobs != "" {
					t.Error("jobs", jobs)
				}
			}
		}
	}
}

// listed returns the names and sizes of the databases, logs and marks in a directory.
func listed(t *testing.T, dir string) (list string) {
	t.Helper()
	for _, name := range bothFiles {
		for _, ending := range []string{"", "-wal", "-synced"} {
			if info, err := os.Lstat(filepath.Join(dir, name+ending)); err == nil {
				list += fmt.Sprintln(name+ending, info.Size())
			}
		}
	}
	return list
}

// TestLostPairing removes the log and the mark of directory.db before it was in the database that
// jobs.db belongs to it.
func TestLostPairing(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, time.Now)
	if _, err := s.FilesOwner(t.Context()); err != nil {
		t.Fatal(err)
	}
	lose := func() string {
		copied := killed(t, dir)
		remove(t, copied, directoryFile+"-wal")
		remove(t, copied, directoryFile+"-synced")
		return copied
	}
	_, err := s.TruncateLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.writer.db.Exec(`DELETE FROM meta WHERE key IN (?, ?)`, ownerKey, pairedKey)
	if err == nil {
		_, err = s.TruncateLog(t.Context()) // in the database: no token
	}
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, "first")
	refused(t, lose(), "belongs to another directory", "or one of the two has lost what was committed last")
	if err := s.CreateJob(t.Context(), store.Job{ID: "one", Owner: "anna", Request: []byte("{}"), Created: 1}, 5); err != nil {
		t.Fatal(err)
	}
	task, err := s.Claim(t.Context(), "w", 10, 1000, store.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.OpenSnapshot(t.Context(), func(ctx context.Context, at fhir.Instant) error { return s.BeginSelecting(ctx, task, at, 10) })
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	copied := lose()
	refused(t, copied, "directory.db in "+copied+" has lost what was committed last", "If jobs.db is one of another directory, move it away and run: muster adopt --data "+copied)
	if created, _, err := RecreateJobs(t.Context(), copied); err == nil || created {
		t.Errorf("new jobs were created: %v", err)
	}
}

// TestLostCommits removes the log of directory.db and its mark, so that an export is younger than the
// directory.
func TestLostCommits(t *testing.T) {
	dir, _ := leftOpen(t)
	copied := killed(t, dir)
	remove(t, copied, directoryFile+"-wal")
	remove(t, copied, directoryFile+"-synced")
	refused(t, copied, "directory.db in "+copied+" has lost what was committed last", "restore both from one backup")
	_, err := Inspect(t.Context(), copied, store.Identity{})
	if kind, _ := damage.KindOf(err); kind != damage.Database {
		t.Error("a check:", err)
	}
}

// TestLostCommitsOfForgottenExports does the same after the rows of all exports are forgotten: what an
// export held is younger than the directory, whose row keys are given to others.
func TestLostCommitsOfForgottenExports(t *testing.T) {
	dir := withToken(t)
	s := openTest(t, dir, time.Now)
	at := fhir.InstantOf(time.Now()) + fhir.Instant(time.Hour.Milliseconds())
	if _, err := s.jobsDB.writer.Exec(`INSERT INTO members (time, owner, client, filters, job_id, used, size, keys) VALUES (?, '', '', '', '', 0, 0, x'')`, at); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "directory.db in "+dir+" has lost what was committed last", "restore both from one backup")
}

// TestBackupOfDamagedLog checks that a backup of a damaged directory names the directory, not the
// copy.
func TestBackupOfDamagedLog(t *testing.T) {
	dir, _ := leftOpen(t)
	i, err := Inspect(t.Context(), dir, store.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	log := filepath.Join(dir, directoryFile+"-wal")
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	f, err := i.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for frame := 1; frame <= int(info.Size()-logHeader)/logFrame; frame++ {
		flip(t, log, frame)
	}
	err = f.Write(t.Context(), t.TempDir(), func(int64, int64) {})
	if kind, _ := damage.KindOf(err); kind != damage.Database || !strings.Contains(err.Error(), "directory.db-wal in "+dir+" is damaged") {
		t.Error(err)
	}
}
