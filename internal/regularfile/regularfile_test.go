//go:build unix

package regularfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOnlyRegularFiles opens what can have the name of a file, in each way. Nothing waits.
func TestOnlyRegularFiles(t *testing.T) {
	t.Chdir(t.TempDir()) // the path of a socket has at most 108 bytes
	root, err := os.OpenRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, err := range []error{
		os.WriteFile("file", []byte("x"), 0o600), os.Symlink("file", "link"), os.Symlink("nowhere", "dangling"),
		os.Mkdir("folder", 0o700), syscall.Mkfifo("pipe", 0o600), os.Symlink("pipe", "link-to-pipe"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"file": "", "link": "", "missing": "not exist", "dangling": "not exist",
		"folder": "folder is a folder, but must be a file: move it away", "socket": "a socket", "pipe": "a named pipe", "link-to-pipe": "a named pipe",
		os.DevNull: "a device",
	} {
		ways := map[string]func() (*os.File, error){
			"Open":              func() (*os.File, error) { return Open(name) },
			"OpenFile to write": func() (*os.File, error) { return OpenFile(name, os.O_WRONLY, 0) },
			"OpenIn":            func() (*os.File, error) { return OpenIn(root, name, os.O_RDONLY, 0) },
			"ReadFile":          func() (*os.File, error) { _, err := ReadFile(name); return nil, err },
		}
		if filepath.IsAbs(name) {
			delete(ways, "OpenIn")
		}
		owned := want
		if info, err := os.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			owned = "a link"
		}
		f, err := OpenOwn(name, os.O_RDWR, 0)
		if err == nil {
			_ = f.Close()
		}
		for way, err := range map[string]error{"OpenOwn": err, "CheckOwn": CheckOwn(name)} {
			if owned == "" || owned == "not exist" {
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s of %s: %v", way, name, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), owned) {
				t.Errorf("%s of %s: %v, want %q", way, name, err, owned)
			}
		}
		for way, open := range ways {
			f, err := open()
			if f != nil {
				_ = f.Close()
			}
			if want == "" && err == nil {
				continue
			}
			var other *Error
			if err == nil || want == "" || errors.As(err, &other) == errors.Is(err, fs.ErrNotExist) || want != "not exist" && !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s: %v", way, name, err)
			}
		}
		if err := Check(name); (err != nil) != (want != "" && want != "not exist") {
			t.Errorf("Check of %s: %v", name, err)
		}
	}
	f, err := OpenFile("new", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

// TestPipeAfterTheCheck opens a pipe that took the place of a file after the check.
func TestPipeAfterTheCheck(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	before := func(string) (fs.FileInfo, error) { return os.Stat(file) }
	var other *Error
	if _, err := open(pipe, before, func(flag int) (*os.File, error) { return os.OpenFile(pipe, flag, 0) }, os.O_RDONLY); !errors.As(err, &other) {
		t.Errorf("it was opened to read: %v", err)
	}
	if _, err := open(pipe, before, func(flag int) (*os.File, error) { return os.OpenFile(pipe, flag, 0) }, os.O_WRONLY); err == nil {
		t.Error("it was opened to write")
	}
}
