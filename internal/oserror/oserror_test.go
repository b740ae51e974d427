package oserror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		number       syscall.Errno
		text, client string
	}{
		{syscall.ENOSPC, "the disk of /data is full: free some space", ClientDiskFull},
		{syscall.EDQUOT, "the disk of /data is full", ClientDiskFull},
		{syscall.EFBIG, "raise the limit of the size of files of the process", ClientDiskReadOnly},
		{syscall.EROFS, "read-only: mount it for writing", ClientDiskReadOnly},
		{syscall.EACCES, "check the owner and the permissions", ClientDiskReadOnly},
		{syscall.EMFILE, "raise the limit of open files of the process", ClientOutOfFiles},
		{syscall.ENFILE, "too many open files on this machine", ClientOutOfFiles},
		{syscall.EIO, "the disk of /data failed", ClientDiskFailed},
	} {
		cause := &fs.PathError{Op: "write", Path: "/data/x", Err: c.number}
		err := Wrap("/data", fmt.Errorf("write: %w", cause))
		var wrapped *Error
		if !errors.As(err, &wrapped) || !strings.Contains(err.Error(), c.text) || wrapped.Reason() != c.client || !errors.Is(err, c.number) {
			t.Errorf("%v: got %v", c.number, err)
		}
		if again := Wrap("/elsewhere", err); any(again) != any(err) {
			t.Errorf("wrapped twice: %v", again)
		}
	}
	for _, err := range []error{nil, errors.New("not a disk error"), os.ErrNotExist, syscall.ECONNRESET} {
		if got := Wrap("/data", err); any(got) != any(err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
