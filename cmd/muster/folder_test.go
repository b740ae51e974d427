package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/store"
	"muster/internal/testkit/pgtest"
)

// onBoth runs a test with directories in SQLite and in PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, open func(data string) (directory, string))) {
	create := store.Options{Create: &store.Identity{Mode: "authoritative"}}
	for name, newDatabase := range map[string]func(t *testing.T) string{
		"SQLite": func(*testing.T) string { return "" }, "PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(data string) (directory, string) {
				database := newDatabase(t)
				d, err := openDirectory(t.Context(), data, database, create)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = d.Close() })
				return d, database
			})
		})
	}
}

// mustClaim claims the files folder in data, and fails the test if it cannot.
func mustClaim(t *testing.T, data, database string, d directory) *ownedFolder {
	t.Helper()
	f, err := claimFilesFolder(t.Context(), data, database, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// mustNotClaim fails the test unless the claim fails with an error that contains the
// texts and the command to run.
func mustNotClaim(t *testing.T, data, database string, d directory, texts ...string) {
	t.Helper()
	_, err := claimFilesFolder(t.Context(), data, database, d)
	if err == nil {
		t.Fatal("the claim succeeded")
	}
	for _, text := range append(texts, "run: "+adoptCommand(data, database)) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error %q does not contain %q", err, text)
		}
	}
}

// writeFile writes an empty file and creates the folders above it.
func writeFile(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestFolderOfAnotherDirectory starts two directories on one files folder. The second
// cannot claim it, since its janitor would delete the files of the first. After the
// second has taken it over, the first cannot claim it, and Owned reports that while the
// first is served.
func TestFolderOfAnotherDirectory(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir, other := t.TempDir(), t.TempDir()
		one, database := open(dir)
		first := mustClaim(t, dir, database, one)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		first = mustClaim(t, dir, database, one) // again
		two, otherDatabase := open(other)
		if err := os.Symlink(filepath.Join(dir, "files"), filepath.Join(other, "files")); err != nil {
			t.Fatal(err)
		}
		mustNotClaim(t, other, otherDatabase, two, "holds the export files of another directory")
		if err := first.Owned(t.Context()); err != nil {
			t.Error(err)
		}

		taken, err := openFilesFolder(t.Context(), other, otherDatabase, two)
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		if err := taken.takeOver(t.Context()); err == nil || !strings.Contains(err.Error(), "stop that server first") {
			t.Errorf("takeOver of a folder in use: %v", err)
		}
		if err := taken.TakeOver(t.Context(), taken.owner); err != nil { // on a file system without locks
			t.Fatal(err)
		}
		mustNotClaim(t, dir, database, one, "holds the export files of another directory")
		if err := first.Owned(t.Context()); err == nil || !strings.Contains(err.Error(), "since this server started") || !strings.Contains(err.Error(), first.adopt) {
			t.Errorf("Owned: %v", err)
		}
		if err := os.Remove(filepath.Join(dir, "files", ".owner")); err != nil {
			t.Fatal(err)
		}
		if err := first.Owned(t.Context()); err == nil || !strings.Contains(err.Error(), "has lost the file that names its owner") {
			t.Errorf("Owned without an owner file: %v", err)
		}
	})
}

// TestFolderInUse starts identical copies, which have the same id, on one folder. The
// second cannot claim it while the first runs. Several servers of one database can.
func TestFolderInUse(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		d, database := open(dir)
		first := mustClaim(t, dir, database, d)
		if database != "" {
			mustClaim(t, dir, database, d)
		}
		// As an identical copy on the other kind of database.
		_, err := claimFilesFolder(t.Context(), dir, "", d)
		if err == nil || !strings.Contains(err.Error(), "is used by another server") || !strings.Contains(err.Error(), "a folder of its own") {
			t.Errorf("exclusive claim of a folder in use: %v", err)
		}
		if database == "" {
			if _, err := claimFilesFolder(t.Context(), dir, "postgres://h/d", d); err == nil || !strings.Contains(err.Error(), "is used by another server") {
				t.Errorf("shared claim of a folder in use: %v", err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			mustClaim(t, dir, database, d)
		}
	})
}

// unknownJob is the id of a job that no directory has.
const unknownJob = "0b9f1c3e-7d2a-4c55-9a61-3f0e8d2b7c14"

// TestFolderWithoutOwner claims a folder of an older version, of a backup, or created by
// hand. The claim succeeds if the directory knows all exports in it, and changes nothing
// otherwise.
func TestFolderWithoutOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		d, database := open(dir)
		if err := d.CreateJob(t.Context(), store.Job{ID: "known", Owner: "anna", Request: []byte("{}"), Created: 1}, 5); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "files", "known", "1-1.ndjson.gz")
		writeFile(t, dir, "files", unknownJob, "1-1.ndjson.gz")
		writeFile(t, dir, legacyOwnerFile)
		mustNotClaim(t, dir, database, d, "has no owner", "1 file of exports that are unknown to this directory, such as "+unknownJob+"/1-1.ndjson.gz")
		for _, left := range []string{legacyOwnerFile, "files/known/1-1.ndjson.gz", "files/" + unknownJob + "/1-1.ndjson.gz"} {
			if _, err := os.Stat(filepath.Join(dir, left)); err != nil {
				t.Errorf("the failed claim has changed the folder: %v", err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "files", ".owner")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder has an owner after a failed claim: %v", err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "files", unknownJob)); err != nil {
			t.Fatal(err)
		}
		f := mustClaim(t, dir, database, d)
		if _, err := os.Stat(filepath.Join(dir, legacyOwnerFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the owner file of an older version still exists: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "files", unknownJob, "1-1.ndjson.gz") // does not matter any more
		mustClaim(t, dir, database, d)
	})
}

// TestAdoptCommand checks that the command in a message can be copied and contains no
// password.
func TestAdoptCommand(t *testing.T) {
	for _, c := range []struct{ data, database, want string }{
		{"data", "", "muster adopt --data data"},
		{"a folder", "", "muster adopt --data 'a folder'"},
		{"d", "postgres://u@h:1/d", "muster adopt --data d --database postgres://u@h:1/d"},
		{"d", "postgres://u:secret@h/d?sslmode=require", "muster adopt --data d --database 'postgres://u@h/d?sslmode=require'"},
		{"d", "postgres://u@h/d?password=secret", "muster adopt --data d --database postgres://u@h/d"},
		{"d", "postgres://u@h/d?password=a&sslmode=require&sslpassword=b", "muster adopt --data d --database 'postgres://u@h/d?sslmode=require'"},
		{"d", "host=h password=secret", "muster adopt --data d --database URL"},
		{"d", "postgres://u:sec%ret@h/d", "muster adopt --data d --database URL"},
	} {
		if got := adoptCommand(c.data, c.database); got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.data, c.database, got, c.want)
		}
	}
}
