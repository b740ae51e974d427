package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const ownerOne, ownerTwo = "0123456789abcdef", "fedcba9876543210"

func wantOwner(t *testing.T, f *Folder, want string) {
	t.Helper()
	if got, err := f.Owner(t.Context()); err != nil || got != want {
		t.Errorf("the owner is %q, %v; want %q", got, err, want)
	}
}

func claim(t *testing.T, f *Folder, owner, want string) {
	t.Helper()
	if got, err := f.Claim(t.Context(), owner); err != nil || got != want {
		t.Errorf("a claim of %s gives %q, %v; want %q", owner, got, err, want)
	}
}

func takeOver(t *testing.T, f *Folder, owner string) {
	t.Helper()
	if err := f.TakeOver(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
}

// TestOwner checks that a folder keeps its first owner until it is taken over.
func TestOwner(t *testing.T) {
	f, dir := newFolder(t)
	wantOwner(t, f, "")
	claim(t, f, ownerOne, ownerOne)
	claim(t, f, ownerOne, ownerOne)
	claim(t, f, ownerTwo, ownerOne)
	other := ExistingFolder(dir)
	defer other.Close()
	wantOwner(t, other, ownerOne)
	takeOver(t, f, ownerTwo)
	wantOwner(t, other, ownerTwo)
	claim(t, f, ownerOne, ownerTwo)
	info, err := os.Stat(filepath.Join(dir, ".owner"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the owner file: %v, %v", info, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the folder holds %v", left)
	}
	if err := f.TakeOver(t.Context(), "no id"); err == nil {
		t.Error("an invalid owner id was written")
	}
	missing := ExistingFolder(filepath.Join(dir, "missing"))
	wantOwner(t, missing, "")
}

// TestOwnerFileIsNotABlob checks that the owner file and files of the operating system
// are not listed, opened, removed or copied as blobs.
func TestOwnerFileIsNotABlob(t *testing.T) {
	f, dir := newFolder(t)
	claim(t, f, ownerOne, ownerOne)
	put(t, f, "job/one", "1")
	for _, strange := range []string{".nfs0001", "lost+found/#12", "job/.hidden", ".owner.tmp77"} {
		path := filepath.Join(dir, strange)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closed := filepath.Join(dir, "lost+found")
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o700) })
	if got := fmt.Sprint(names(t, f)); got != "[job/one]" {
		t.Errorf("listed: %s", got)
	}
	if _, err := f.Open(t.Context(), ".owner"); err == nil {
		t.Error("the owner file was opened as a blob")
	}
	if err := f.Remove(t.Context(), ".owner"); err == nil {
		t.Error("the owner file was removed as a blob")
	}
	other, _ := newFolder(t)
	if _, err := f.Clone(t.Context(), ".owner", other); err == nil {
		t.Error("the owner file was copied as a blob")
	}
	wantOwner(t, f, ownerOne)
	wantOwner(t, other, "")
}

// TestConcurrentClaims checks that one of several concurrent claims succeeds and that all
// return its owner.
func TestConcurrentClaims(t *testing.T) {
	_, dir := newFolder(t)
	var group sync.WaitGroup
	held := make([]string, 16)
	for n := range held {
		group.Go(func() {
			f := ExistingFolder(dir)
			defer f.Close()
			var err error
			if held[n], err = f.Claim(t.Context(), fmt.Sprintf("owner-%04d", n)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, holder := range held {
		if holder != held[0] || !strings.HasPrefix(holder, "owner-") {
			t.Fatalf("holders %q", held)
		}
	}
}

// TestDamagedOwnerFile checks that a folder with a damaged owner file cannot be claimed,
// and can be taken over.
func TestDamagedOwnerFile(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "half": "0123", "long": strings.Repeat("x", 1000), "strange": "one\ntwo two two"} {
		t.Run(name, func(t *testing.T) {
			f, dir := newFolder(t)
			if err := os.WriteFile(filepath.Join(dir, ".owner"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if holder, err := f.Claim(t.Context(), ownerOne); err != nil || holder == "" || holder == ownerOne {
				t.Errorf("a claim gives %q, %v", holder, err)
			}
			takeOver(t, f, ownerOne)
			wantOwner(t, f, ownerOne)
		})
	}
}

// TestOwnerWithoutLinks checks a file system without hard links: the first owner remains.
func TestOwnerWithoutLinks(t *testing.T) {
	_, dir := newFolder(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := writeOwnerFile(root, ownerFile, ownerOne); err != nil {
		t.Fatal(err)
	}
	if err := writeOwnerFile(root, ownerFile, ownerTwo); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second owner file: %v", err)
	}
	if got, err := readOwner(root); err != nil || got != ownerOne {
		t.Errorf("the owner is %q, %v", got, err)
	}
}

// TestOwnerOfNewFolder checks that a folder that its owner creates again has the same
// owner.
func TestOwnerOfNewFolder(t *testing.T) {
	f, dir := newFolder(t)
	claim(t, f, ownerOne, ownerOne)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	put(t, f, "job/one", "1")
	wantOwner(t, f, ownerOne)
}

// TestTemporaryOwnerFiles checks that a claim removes the temporary file of a killed
// process, and keeps one that may be in use.
func TestTemporaryOwnerFiles(t *testing.T) {
	f, dir := newFolder(t)
	old, recent := filepath.Join(dir, temporaryOwnerFile+"1"), filepath.Join(dir, temporaryOwnerFile+"2")
	for _, path := range []string{old, recent} {
		if err := os.WriteFile(path, []byte(ownerTwo), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*leftoverAge)); err != nil {
		t.Fatal(err)
	}
	claim(t, f, ownerOne, ownerOne)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file of a killed process remains: %v", err)
	}
	if _, err := os.Stat(recent); err != nil {
		t.Errorf("an owner file that is being written was removed: %v", err)
	}
}
