package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newFolder(t *testing.T) (*Folder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	f, err := NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, dir
}

func put(t *testing.T, f *Folder, name, text string) {
	t.Helper()
	w, err := f.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, f *Folder, name string) string {
	t.Helper()
	r, err := f.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != int64(len(text)) {
		t.Errorf("Size() = %d of %d bytes", r.Size(), len(text))
	}
	return string(text)
}

func names(t *testing.T, f *Folder) []string {
	t.Helper()
	var all []string
	err := f.List(t.Context(), func(name string, modified time.Time) error {
		if modified.IsZero() {
			t.Errorf("%s: no time of change", name)
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBlobAppearsWhenCommitted(t *testing.T) {
	f, _ := newFolder(t)
	w, err := f.Create(t.Context(), "job/1-1.gz")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "half")
	if _, err := f.Open(t.Context(), "job/1-1.gz"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("open before commit: %v, want ErrNotFound", err)
	}
	if temporary := names(t, f); len(temporary) != 1 || !strings.HasPrefix(temporary[0], "job/1-1.gz.tmp") {
		t.Fatalf("names before commit: %q, want one temporary file", temporary)
	} else if _, err := f.Open(t.Context(), temporary[0]); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a temporary file can be opened: %v", err)
	}
	fmt.Fprint(w, " and half")
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort() // does nothing after Commit
	if got := get(t, f, "job/1-1.gz"); got != "half and half" {
		t.Errorf("content %q", got)
	}
	if _, err := w.Write([]byte("more")); err == nil {
		t.Error("a write after commit was accepted")
	}
	if err := w.Commit(); err == nil {
		t.Error("a second commit was accepted")
	}
	put(t, f, "job/1-1.gz", "another")
	if got := get(t, f, "job/1-1.gz"); got != "another" {
		t.Errorf("content after a second commit %q", got)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	f, dir := newFolder(t)
	w, err := f.Create(t.Context(), "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if err := w.Commit(); err == nil {
		t.Error("commit after abort was accepted")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("abort left %v", left)
	}
}

func TestRemove(t *testing.T) {
	t.Attr("requirements", "RE-12")
	f, dir := newFolder(t)
	put(t, f, "a/b/one", "1")
	put(t, f, "a/two", "2")
	put(t, f, "three", "3")
	reading, err := f.Open(t.Context(), "a/b/one")
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	for _, name := range []string{"a/b/one", "a/b/one", "a/b", "a", "never", "no/such/name"} {
		if err := f.Remove(t.Context(), name); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"a/two", "three"}, names(t, f)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty parent is still there: %v", err)
	}
	if text, err := io.ReadAll(reading); string(text) != "1" || err != nil {
		t.Errorf("a removed blob read to its end: %q, %v", text, err)
	}
	if _, err := f.Open(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("opening a folder: %v, want ErrNotFound", err)
	}
}

func TestNamesCannotEscape(t *testing.T) {
	f, dir := newFolder(t)
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", ".", "..", "/", "../outside", "a/../../outside", outside, "a//b", "a/", "/a", ".hidden", "a/.hidden",
		"a\\b", "a b", "a\x00b", "ä", "a\n", strings.Repeat("x", 201), "link",
	} {
		if r, err := f.Open(t.Context(), name); err == nil {
			_ = r.Close()
			t.Errorf("Open(%q) succeeded", name)
		}
		if name == "link" {
			continue
		}
		if w, err := f.Create(t.Context(), name); err == nil {
			w.Abort()
			t.Errorf("Create(%q) succeeded", name)
		}
		if err := f.Remove(t.Context(), name); err == nil {
			t.Errorf("Remove(%q) succeeded", name)
		}
	}
	put(t, f, "blob", "not a folder")
	if w, err := f.Create(t.Context(), "blob/below"); err == nil {
		w.Abort()
		t.Error("a blob was created below a blob")
	}
	if w, err := f.Create(t.Context(), "a.tmp7"); err == nil {
		w.Abort()
		t.Error("a blob took the name of a temporary file")
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

func TestCancelledContext(t *testing.T) {
	f, _ := newFolder(t)
	put(t, f, "one", "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Create(ctx, "two"); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	if _, err := f.Open(ctx, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if err := f.Remove(ctx, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("Remove: %v", err)
	}
	if err := f.List(ctx, func(string, time.Time) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v", err)
	}
}

func TestListStopsWithYield(t *testing.T) {
	f, _ := newFolder(t)
	put(t, f, "one", "1")
	put(t, f, "two", "2")
	stop := errors.New("stop")
	calls := 0
	if err := f.List(t.Context(), func(string, time.Time) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("List returned %v after %d calls", err, calls)
	}
}

// TestConcurrentCreateAndRemove checks that a blob is written even if a concurrent
// removal removes its parent.
func TestConcurrentCreateAndRemove(t *testing.T) {
	f, dir := newFolder(t)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for round := range 500 {
				name := fmt.Sprintf("job/%d-%d", n, round)
				w, err := f.Create(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				if round%25 != 0 { // a commit waits for the disk
					w.Abort()
					continue
				}
				fmt.Fprint(w, name)
				if err := w.Commit(); err != nil {
					t.Error(err)
					return
				}
				if err := f.Remove(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestMissingFolder checks that the removal of the folder while the program runs is
// detected, and that the next blob creates it again.
func TestMissingFolder(t *testing.T) {
	for name, loseFolder := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".old") },
	} {
		t.Run(name, func(t *testing.T) {
			f, dir := newFolder(t)
			other, err := NewFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			put(t, f, "job/one", "1")
			if err := f.Check(t.Context()); err != nil {
				t.Fatalf("nothing happened yet: %v", err)
			}
			w, err := f.Create(t.Context(), "job/two")
			if err != nil {
				t.Fatal(err)
			}
			if err := loseFolder(dir); err != nil {
				t.Fatal(err)
			}
			if err := f.Check(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Check without the folder: %v", err)
			}
			if r, err := f.Open(t.Context(), "job/one"); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("Open without the folder: %v, %v", r, err)
			}
			if err := f.Remove(t.Context(), "job/one"); err != nil {
				t.Errorf("Remove without the folder: %v", err)
			}
			if got := names(t, f); len(got) != 0 {
				t.Errorf("List without the folder: %q", got)
			}
			if err := w.Commit(); err == nil {
				t.Error("a blob was committed to a folder that is gone")
			}
			put(t, f, "job/three", "3")
			if err := f.Check(t.Context()); err != nil {
				t.Errorf("Check with the new folder: %v", err)
			}
			if err := w.Commit(); err == nil {
				t.Error("a failed commit was repeated")
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the new folder: %v, %v", info, err)
			}
			if got := get(t, other, "job/three"); got != "3" {
				t.Errorf("another process reads %q", got)
			}
			if diff := cmp.Diff([]string{"job/three"}, names(t, other)); diff != "" {
				t.Error(diff)
			}
			if _, err := f.Open(t.Context(), "job/one"); !errors.Is(err, ErrNotFound) {
				t.Errorf("a lost blob: %v", err)
			}
		})
	}
	t.Run("with all above", func(t *testing.T) {
		f, dir := newFolder(t)
		if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Create(t.Context(), "job/one"); err == nil || !strings.Contains(err.Error(), "restore it") {
			t.Errorf("Create: %v", err)
		}
		if err := f.Check(t.Context()); err == nil {
			t.Error("Check returned no error")
		}
	})
	t.Run("a file took its place", func(t *testing.T) {
		f, dir := newFolder(t)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.Check(t.Context()); err == nil {
			t.Error("Check returned no error")
		}
	})
}
