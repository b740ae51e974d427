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

// onBoth runs a test with directories in data directories and in PostgreSQL.
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

// mayClaim claims the folder below data, and fails the test unless that goes well.
func mayClaim(t *testing.T, data, database string, d directory) *ownedFolder {
	t.Helper()
	f, err := claimFolder(t.Context(), data, database, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// mayNotClaim fails the test unless the claim is refused with the words and the way out.
func mayNotClaim(t *testing.T, data, database string, d directory, words ...string) {
	t.Helper()
	_, err := claimFolder(t.Context(), data, database, d)
	if err == nil {
		t.Fatal("the folder was claimed")
	}
	for _, word := range append(words, "run: "+adoptCommand(data, database)) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not say %q", err, word)
		}
	}
}

// writeFile writes a file with all folders above it.
func writeFile(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestFolderOfAnotherDirectory has two directories on one folder for files: the second is
// refused, for its janitor would remove the files of the first. Taken over it is refused to the
// first, which learns of it while it is served.
func TestFolderOfAnotherDirectory(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir, other := t.TempDir(), t.TempDir()
		one, database := open(dir)
		first := mayClaim(t, dir, database, one)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		first = mayClaim(t, dir, database, one) // as often as it likes
		two, otherDatabase := open(other)
		if err := os.Symlink(filepath.Join(dir, "files"), filepath.Join(other, "files")); err != nil {
			t.Fatal(err)
		}
		mayNotClaim(t, other, otherDatabase, two, "holds the export files of another directory")
		if err := first.Owned(t.Context()); err != nil {
			t.Error(err)
		}

		taken, err := filesOf(t.Context(), other, otherDatabase, two)
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		if err := taken.takeOver(t.Context()); err == nil || !strings.Contains(err.Error(), "stop that server first") {
			t.Errorf("taken over while it is used: %v", err)
		}
		if err := taken.TakeOver(t.Context(), taken.owner); err != nil { // on a file system without locks
			t.Fatal(err)
		}
		mayNotClaim(t, dir, database, one, "holds the export files of another directory")
		if err := first.Owned(t.Context()); err == nil || !strings.Contains(err.Error(), "since this server started") || !strings.Contains(err.Error(), first.adopt) {
			t.Errorf("Owned says %v", err)
		}
		if err := os.Remove(filepath.Join(dir, "files", ".owner")); err != nil {
			t.Fatal(err)
		}
		if err := first.Owned(t.Context()); err == nil || !strings.Contains(err.Error(), "has lost the mark") {
			t.Errorf("Owned without a mark says %v", err)
		}
	})
}

// TestFolderInUse has equal copies, which have one mark, on one folder: the second is refused for
// as long as the first runs. Several servers of one database are not.
func TestFolderInUse(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		d, database := open(dir)
		first := mayClaim(t, dir, database, d)
		if database != "" {
			mayClaim(t, dir, database, d)
		}
		// What an equal copy of the other kind would ask for.
		_, err := claimFolder(t.Context(), dir, "", d)
		if err == nil || !strings.Contains(err.Error(), "is used by another server") || !strings.Contains(err.Error(), "a folder of its own") {
			t.Errorf("used alone too: %v", err)
		}
		if database == "" {
			if _, err := claimFolder(t.Context(), dir, "postgres://h/d", d); err == nil || !strings.Contains(err.Error(), "is used by another server") {
				t.Errorf("shared by a server on PostgreSQL: %v", err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			mayClaim(t, dir, database, d)
		}
	})
}

// stranger is the id of a job that no directory has.
const stranger = "0b9f1c3e-7d2a-4c55-9a61-3f0e8d2b7c14"

// TestFolderWithoutMark has a folder of an older muster, of a backup, or made by hand: it is
// claimed when the directory knows all exports in it, and else left as it is.
func TestFolderWithoutMark(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		d, database := open(dir)
		if err := d.CreateJob(t.Context(), store.Job{ID: "known", Owner: "anna", Request: []byte("{}"), Created: 1}, 5); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "files", "known", "1-1.ndjson.gz")
		writeFile(t, dir, "files", stranger, "1-1.ndjson.gz")
		writeFile(t, dir, formerMark)
		mayNotClaim(t, dir, database, d, "carries no mark", "the exports of 1 file in it, such as "+stranger+"/1-1.ndjson.gz")
		for _, left := range []string{formerMark, "files/known/1-1.ndjson.gz", "files/" + stranger + "/1-1.ndjson.gz"} {
			if _, err := os.Stat(filepath.Join(dir, left)); err != nil {
				t.Errorf("the refusal has changed the folder: %v", err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "files", ".owner")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the refused folder carries a mark: %v", err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "files", stranger)); err != nil {
			t.Fatal(err)
		}
		f := mayClaim(t, dir, database, d)
		if _, err := os.Stat(filepath.Join(dir, formerMark)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the mark of an older muster is still there: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "files", stranger, "1-1.ndjson.gz") // the mark counts now
		mayClaim(t, dir, database, d)
	})
}

// The command in a message can be copied, and shows no password.
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
