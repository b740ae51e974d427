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

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		number     syscall.Errno
		text, told string
	}{
		{syscall.ENOSPC, "the disk of /data is full: make room", ClientDiskFull},
		{syscall.EDQUOT, "the disk of /data is full", ClientDiskFull},
		{syscall.EROFS, "read-only: mount it for writing", ClientDiskReadOnly},
		{syscall.EACCES, "check the owner and the rights", ClientDiskReadOnly},
		{syscall.EIO, "the disk of /data fails", ClientDiskFailed},
	} {
		cause := &fs.PathError{Op: "write", Path: "/data/x", Err: c.number}
		err := Wrap("/data", fmt.Errorf("writing: %w", cause))
		var explained *Error
		if !errors.As(err, &explained) || !strings.Contains(err.Error(), c.text) || explained.Reason() != c.told || !errors.Is(err, c.number) {
			t.Errorf("%v: got %v", c.number, err)
		}
		if again := Wrap("/elsewhere", err); again != err {
			t.Errorf("explained twice: %v", again)
		}
	}
	for _, err := range []error{nil, errors.New("of nobody's disk"), os.ErrNotExist, syscall.ECONNRESET} {
		if got := Wrap("/data", err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
