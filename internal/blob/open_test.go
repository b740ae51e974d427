//go:build unix

package blob

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOnlyFilesAreOpened puts a named pipe, a socket, a folder, a link to a device and a link that
// leads out of the folder in the place of a blob. Open returns an error, and does not wait.
func TestOnlyFilesAreOpened(t *testing.T) {
	f, dir := newFolder(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, place := range map[string]func(path string) error{
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"link":   func(path string) error { return os.Symlink(outside, path) },
		"socket": func(path string) error {
			t.Chdir(filepath.Dir(path)) // the path of a socket has at most 108 bytes
			l, err := net.Listen("unix", filepath.Base(path))
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := place(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			r, err := f.Open(t.Context(), name)
			if err == nil {
				_ = r.Close()
				t.Fatal("it was opened")
			}
			if special := name == "pipe" || name == "socket"; special && (!errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "not a file")) {
				t.Errorf("the error is %v", err)
			}
			other, err := NewFolder(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if _, err := f.Clone(t.Context(), name, other); err == nil {
				t.Error("it was cloned")
			}
		})
	}
}
