// Package oserror translates errors of the operating system and of the database into
// messages for the operator, with the path and what to do, and for clients, without paths.
package oserror

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Error is a failure of a disk or of the database.
type Error struct {
	Text   string // for the operator: what is wrong and what to do
	Client string // for clients: one sentence without paths
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return e.Text + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason returns the sentence for clients.
func (e *Error) Reason() string { return e.Client }

// The sentences for clients.
const (
	ClientDiskFull            = "The disk of the server is full."
	ClientDiskReadOnly        = "The disk of the server is not writable."
	ClientDiskFailed          = "The disk of the server failed."
	ClientOutOfFiles          = "The server has too many files and connections open."
	ClientDatabaseUnavailable = "The database of the server is not available."
)

// IsOutOfFiles reports whether an error says that the process or the machine has too many files
// open. The next attempt may succeed.
func IsOutOfFiles(err error) bool {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return false
	}
	number = posix(number)
	return number == syscall.EMFILE || number == syscall.ENFILE
}

// OutOfFiles returns an error for which [IsOutOfFiles] is true if no further file can be opened
// now, and nil otherwise.
func OutOfFiles() error {
	f, err := os.Open(os.DevNull)
	if err != nil {
		if IsOutOfFiles(err) {
			return err
		}
		return nil
	}
	_ = f.Close()
	return nil
}

// Wrap returns an [*Error] for a disk error about a file at path, or for too many open files. It returns other errors,
// and wrapped ones, unchanged.
func Wrap(path string, err error) error {
	var wrapped *Error
	if errors.As(err, &wrapped) {
		return err
	}
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err
	}
	switch posix(number) {
	case syscall.EMFILE:
		return &Error{"too many open files: raise the limit of open files of the process (ulimit -n, LimitNOFILE of systemd), or lower --connections", ClientOutOfFiles, err}
	case syscall.ENFILE:
		return &Error{"too many open files on this machine: raise fs.file-max, or end other programs", ClientOutOfFiles, err}
	case syscall.ENOSPC, syscall.EDQUOT:
		return &Error{fmt.Sprintf("the disk of %s is full: free some space", path), ClientDiskFull, err}
	case syscall.EFBIG:
		return &Error{fmt.Sprintf("a file of %s cannot grow: raise the limit of the size of files of the process (ulimit -f, LimitFSIZE of systemd)", path), ClientDiskReadOnly, err}
	case syscall.EROFS:
		return &Error{fmt.Sprintf("the disk of %s is mounted read-only: mount it for writing", path), ClientDiskReadOnly, err}
	case syscall.EACCES, syscall.EPERM:
		return &Error{fmt.Sprintf("no permission to use %s: check the owner and the permissions of it and of its folders", path), ClientDiskReadOnly, err}
	case syscall.EIO:
		return &Error{fmt.Sprintf("the disk of %s failed: check it", path), ClientDiskFailed, err}
	}
	return err
}
