// Package regularfile opens files that must be regular ones. If a named pipe, a socket, a device or
// a folder has the name of such a file, the functions return an error at once. Package os would
// wait for the other end of a pipe, without an end and deaf to a context, and reading a device can
// have an effect. Symbolic links are followed, except by CheckOwn and OpenOwn.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Error means that something else than a regular file has the name of one.
type Error struct {
	Path string
	Mode fs.FileMode
}

// Remedy is what to do about an [*Error].
const Remedy = "move it away"

// Problem names the path and what is there.
func (e *Error) Problem() string {
	return fmt.Sprintf("%s is %s, but must be a file", e.Path, Kind(e.Mode))
}

// Error implements error.
func (e *Error) Error() string { return e.Problem() + ": " + Remedy }

// Kind names what a mode is the mode of, with its article: a file, a folder, a link, a named pipe, a
// socket or a device.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "neither a file nor a folder"
}

// Check returns an [*Error] if the path exists and is not a regular file. It returns nil if the
// file does not exist or cannot be looked at: opening it returns that error.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return check(path, info)
}

// CheckOwn is [Check] for a file that only this program creates: a symbolic link is an error.
func CheckOwn(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	return check(path, info)
}

func check(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return &Error{path, info.Mode()}
}

// Open is [os.Open] for a regular file.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is [os.OpenFile] for a regular file, which it may create.
func OpenFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	return open(path, os.Stat, func(flag int) (*os.File, error) { return os.OpenFile(path, flag, mode) }, flag)
}

// OpenOwn is [OpenFile] for a file that only this program creates: a symbolic link is an error, so
// that what it leads to is neither read nor overwritten.
func OpenOwn(path string, flag int, mode fs.FileMode) (*os.File, error) {
	return open(path, os.Lstat, func(flag int) (*os.File, error) { return os.OpenFile(path, flag|noLinks, mode) }, flag)
}

// OpenIn is [OpenFile] for a file in a folder. The path of its errors is the name.
func OpenIn(root *os.Root, name string, flag int, mode fs.FileMode) (*os.File, error) {
	return open(name, root.Stat, func(flag int) (*os.File, error) { return root.OpenFile(name, flag, mode) }, flag)
}

// open looks at the file first, since opening a device can already do something. It may be replaced
// before it is opened: the open then does not wait, and what was opened is looked at again.
func open(path string, stat func(string) (fs.FileInfo, error), open func(flag int) (*os.File, error), flag int) (*os.File, error) {
	info, err := stat(path)
	if err == nil {
		err = check(path, info)
	}
	if creates := flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist); err != nil && !creates {
		return nil, err
	}
	file, err := open(flag | doNotWait)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = check(path, info)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// ReadFile is [os.ReadFile] for a regular file.
func ReadFile(path string) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}
