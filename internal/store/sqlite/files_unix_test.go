//go:build unix

package sqlite

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"muster/internal/store"
)

// TestOtherFiles puts what is not a regular file in the place of each file of a directory. Opening
// and inspecting it fails at once and names the file, and what a link leads to is not written.
func TestOtherFiles(t *testing.T) {
	dir := withToken(t)
	lock, err := LockServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(t.TempDir(), "precious")
	write(t, precious, "precious")
	kinds := map[string]func(path string) error{
		"a named pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":     func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":       func(path string) error { return os.Symlink(precious, path) },
	}
	names := []string{gateFile, turnstileFile, serveFile}
	for _, database := range bothFiles {
		for _, ending := range []string{"", "-wal", "-shm", "-journal", "-synced"} {
			names = append(names, database+ending)
		}
	}
	for _, name := range names {
		for kind, put := range kinds {
			if kind == "a link" && (name == directoryFile || name == jobsFile) {
				continue // is followed: the file is the operator's choice
			}
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(copied, name)
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			for how, err := range map[string]error{"opened": closed(OpenUnserved(t.Context(), copied, store.Options{})), "inspected": inspected(t, copied)} {
				if err == nil || !strings.Contains(err.Error(), path+" is "+kind+", but must be a file: move it away") {
					t.Errorf("%s as %s, %s: %v", name, kind, how, err)
				}
			}
		}
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("what the links lead to: %q, %v", text, err)
	}
}

func closed(s *Store, lock io.Closer, err error) error {
	if err == nil {
		err = errors.Join(lock.Close(), s.Close())
	}
	return err
}

// inspected inspects a directory as a check does.
func inspected(t *testing.T, dir string) error {
	t.Helper()
	i, err := Inspect(t.Context(), dir, store.Identity{})
	if err != nil {
		return err
	}
	_, err = i.Served(t.Context())
	_, _, stalled := i.StalledGate(t.Context())
	return errors.Join(err, stalled, i.Close())
}
