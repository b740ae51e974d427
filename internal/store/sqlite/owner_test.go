package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ownerOf opens a directory and returns its id as an owner of files.
func ownerOf(t *testing.T, dir string) string {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	owner, err := s.FilesOwner(t.Context())
	if err != nil || len(owner) < 32 {
		t.Fatalf("the owner %q, %v", owner, err)
	}
	return owner
}

// freezeTo makes a copy as a backup does and returns its id as an owner of files.
func freezeTo(t *testing.T, dir, out string) string {
	t.Helper()
	i, err := Inspect(t.Context(), dir, CreateInfo{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	f, err := i.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Write(t.Context(), out, func(_, _ int64) {}); err != nil {
		t.Fatal(err)
	}
	return f.FilesOwner()
}

// TestFilesOwner: a directory keeps its id when it is opened again and when it is moved; a
// copy by Freeze has another, and a copy of that a third.
func TestFilesOwner(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	if err := openTest(t, dir, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
	never := t.TempDir()
	if id := freezeTo(t, dir, never); id == "" || id != ownerOf(t, never) {
		t.Errorf("the copy of a directory that was never served has %q", id)
	}
	id := ownerOf(t, dir)
	if again := ownerOf(t, dir); again != id {
		t.Errorf("opened again it is %s, before %s", again, id)
	}
	seen := map[string]bool{id: true, ownerOf(t, never): true}
	from := dir
	for range 3 { // a backup, a backup of that, …
		out := t.TempDir()
		copied := freezeTo(t, from, out)
		if files, err := os.ReadDir(out); err != nil || len(files) != 2 {
			t.Errorf("the copy holds %v, %v", files, err)
		}
		if seen[copied] || copied != ownerOf(t, out) {
			t.Errorf("the copy has %s, opened %s; known are %v", copied, ownerOf(t, out), seen)
		}
		seen[copied], from = true, out
	}
	moved := filepath.Join(parent, "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if again := ownerOf(t, moved); again != id {
		t.Errorf("moved it is %s, before %s", again, id)
	}
}

// TestInspectedFilesOwner: who only looks at a directory learns the same id, and draws none.
func TestInspectedFilesOwner(t *testing.T) {
	dir := made(t)
	look := func(want string) {
		t.Helper()
		i, err := Inspect(t.Context(), dir, CreateInfo{})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if id, err := i.FilesOwner(t.Context()); err != nil || id != want {
			t.Errorf("the id is %q, %v; want %q", id, err, want)
		}
	}
	look("")
	look("")
	look(ownerOf(t, dir))
}
