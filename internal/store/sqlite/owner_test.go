package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"muster/internal/store"
)

// ownerOf opens a directory and returns its owner id.
func ownerOf(t *testing.T, dir string) string {
	t.Helper()
	s, err := Open(t.Context(), dir, store.Options{})
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

// freezeTo copies a directory as a backup does and returns the owner id of the copy.
func freezeTo(t *testing.T, dir, out string) string {
	t.Helper()
	i, err := Inspect(t.Context(), dir, store.Identity{})
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

// TestFilesOwner checks that a directory keeps its owner id when it is opened again and when it
// is moved, and that each copy by Freeze has a new one.
func TestFilesOwner(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	if err := openTest(t, dir, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
	unserved := t.TempDir()
	if id := freezeTo(t, dir, unserved); id == "" || id != ownerOf(t, unserved) {
		t.Errorf("the copy of a directory that was never served has %q", id)
	}
	id := ownerOf(t, dir)
	if again := ownerOf(t, dir); again != id {
		t.Errorf("opened again it has the id %s, before %s", again, id)
	}
	seen := map[string]bool{id: true, ownerOf(t, unserved): true}
	from := dir
	for range 3 { // a backup, a backup of that, …
		out := t.TempDir()
		copied := freezeTo(t, from, out)
		if files, err := os.ReadDir(out); err != nil || len(files) != 2 {
			t.Errorf("the copy holds %v, %v", files, err)
		}
		if seen[copied] || copied != ownerOf(t, out) {
			t.Errorf("the copy has the id %s, opened %s; known ids %v", copied, ownerOf(t, out), seen)
		}
		seen[copied], from = true, out
	}
	moved := filepath.Join(parent, "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if again := ownerOf(t, moved); again != id {
		t.Errorf("moved it has the id %s, before %s", again, id)
	}
}

// TestInspectedFilesOwner checks that an inspection returns the same id, and creates none.
func TestInspectedFilesOwner(t *testing.T) {
	dir := initialised(t)
	wantID := func(want string) {
		t.Helper()
		i, err := Inspect(t.Context(), dir, store.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if id, err := i.FilesOwner(t.Context()); err != nil || id != want {
			t.Errorf("the id is %q, %v; want %q", id, err, want)
		}
	}
	wantID("")
	wantID("")
	wantID(ownerOf(t, dir))
}
