package blob

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// useAs opens the folder once more and tells others of its use; want is the answer.
func useAs(t *testing.T, dir string, alone bool, want error) *Folder {
	t.Helper()
	f := ExistingFolder(dir)
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Use(alone); !errors.Is(err, want) {
		t.Errorf("used alone %v: %v, want %v", alone, err, want)
	}
	return f
}

// TestUse: who uses a folder alone keeps all others out, also when it is reached by a link, until
// it is closed; those who share one keep out who wants it alone.
func TestUse(t *testing.T) {
	_, dir := newFolder(t)
	link := filepath.Join(t.TempDir(), "files")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	alone := useAs(t, dir, true, nil)
	useAs(t, link, true, ErrInUse)
	useAs(t, link, false, ErrInUse)
	takeOver(t, alone, ownerTwo) // replaces the mark, not the lock
	useAs(t, link, true, ErrInUse)
	if err := alone.Close(); err != nil {
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

// TestUseOfFolderMadeAnew: a folder that goes away under its user is kept from others when it is
// made anew, by many writers at once too, and when the one before is put back.
func TestUseOfFolderMadeAnew(t *testing.T) {
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

// wantWay fails unless the error names the path and what to do.
func wantWay(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error %v does not say %q", err, word)
		}
	}
}

// TestStrangeFiles has something else in the place of the files that a folder has for itself: it
// is named, and nothing is written.
func TestStrangeFiles(t *testing.T) {
	for what, make := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":   func(path string) error { return os.Symlink("elsewhere", path) },
	} {
		t.Run(what, func(t *testing.T) {
			f, dir := newFolder(t)
			mark, lock := filepath.Join(dir, ownerFile), filepath.Join(dir, lockFile)
			if err := errors.Join(make(mark), make(lock)); err != nil {
				t.Fatal(err)
			}
			_, err := f.Owner(t.Context())
			wantWay(t, err, mark+" is "+what, "move it away")
			_, err = f.Claim(t.Context(), ownerOne)
			wantWay(t, err, mark+" is "+what, "move it away")
			wantWay(t, f.TakeOver(t.Context(), ownerOne), mark+" is "+what, "move it away")
			wantWay(t, f.Use(true), lock+" is "+what, "move it away")
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
				t.Errorf("the folder holds %v, %v", entries, err)
			}
		})
	}
}

// TestNoFolder has something else in the place of the folder: it is named with the way out.
func TestNoFolder(t *testing.T) {
	file, link := filepath.Join(t.TempDir(), "files"), filepath.Join(t.TempDir(), "files")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink("nowhere", link)); err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string][]string{file: {file + " is no folder", "move it away"}, link: {link + ", the folder", "link to what is not there", "mount"}} {
		_, err := NewFolder(path)
		wantWay(t, err, words...)
		wantWay(t, ExistingFolder(path).Check(t.Context()), words...)
	}
}
