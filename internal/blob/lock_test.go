package blob

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// useAs opens the folder again and calls Use; want is its error.
func useAs(t *testing.T, dir string, exclusive bool, want error) *Folder {
	t.Helper()
	f := ExistingFolder(dir)
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Use(exclusive); !errors.Is(err, want) {
		t.Errorf("Use(%v): %v, want %v", exclusive, err, want)
	}
	return f
}

// TestUse checks that an exclusive lock excludes all others until it is closed, also
// through a link, and that shared locks exclude an exclusive one.
func TestUse(t *testing.T) {
	_, dir := newFolder(t)
	link := filepath.Join(t.TempDir(), "files")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	exclusive := useAs(t, dir, true, nil)
	useAs(t, link, true, ErrInUse)
	useAs(t, link, false, ErrInUse)
	takeOver(t, exclusive, ownerTwo) // replaces the owner file, not the lock file
	useAs(t, link, true, ErrInUse)
	if err := exclusive.Close(); err != nil {
		t.Fatal(err)
	}
	one, two := useAs(t, dir, false, nil), useAs(t, link, false, nil)
	useAs(t, link, true, ErrInUse)
	for _, f := range []*Folder{one, two} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := useAs(t, link, true, nil)
	if got := names(t, again); len(got) != 0 {
		t.Errorf("listed: %q", got)
	}
}

// TestUseOfNewFolder checks that a folder that is removed while it is locked is locked
// again when it is created again, also by concurrent writers, and when the previous one
// is restored.
func TestUseOfNewFolder(t *testing.T) {
	f, dir := newFolder(t)
	if err := f.Use(true); err != nil {
		t.Fatal(err)
	}
	claim(t, f, ownerOne, ownerOne)
	aside := dir + "-aside"
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if w, err := f.Create(t.Context(), "job/one"); err != nil {
				t.Error(err)
			} else {
				w.Abort()
			}
		})
	}
	group.Wait()
	useAs(t, dir, true, ErrInUse)
	if err := errors.Join(os.RemoveAll(dir), os.Rename(aside, dir)); err != nil {
		t.Fatal(err)
	}
	useAs(t, dir, true, ErrInUse)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	useAs(t, dir, true, nil)
}

// wantError fails the test unless the error contains the texts.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error %v does not contain %q", err, word)
		}
	}
}

// TestIrregularFiles has something else in place of the owner and lock files: the error
// names it, and nothing is written.
func TestIrregularFiles(t *testing.T) {
	for what, make := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":   func(path string) error { return os.Symlink("source", path) },
	} {
		t.Run(what, func(t *testing.T) {
			f, dir := newFolder(t)
			owner, lock := filepath.Join(dir, ownerFile), filepath.Join(dir, lockFile)
			if err := errors.Join(make(owner), make(lock)); err != nil {
				t.Fatal(err)
			}
			_, err := f.Owner(t.Context())
			wantError(t, err, owner+" is "+what, "move it away")
			_, err = f.Claim(t.Context(), ownerOne)
			wantError(t, err, owner+" is "+what, "move it away")
			wantError(t, f.TakeOver(t.Context(), ownerOne), owner+" is "+what, "move it away")
			wantError(t, f.Use(true), lock+" is "+what, "move it away")
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
				t.Errorf("the folder holds %v, %v", entries, err)
			}
		})
	}
}

// TestNotAFolder has something else in place of the folder: the error names it and says
// what to do.
func TestNotAFolder(t *testing.T) {
	file, link := filepath.Join(t.TempDir(), "files"), filepath.Join(t.TempDir(), "files")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink("nowhere", link)); err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string][]string{file: {file + " is not a folder", "move it away"}, link: {link + ", the folder", "broken link", "mount"}} {
		_, err := NewFolder(path)
		wantError(t, err, words...)
		wantError(t, ExistingFolder(path).Check(t.Context()), words...)
	}
}
