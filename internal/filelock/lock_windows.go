package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock takes a lock with LockFileEx. Without wait, it returns false if the lock is not free.
//
// Locks on Windows are mandatory: no other handle can read or write a locked range. The locked
// byte is therefore far behind the end of any file.
func lock(f *os.File, mode Mode, wait bool) (held bool, err error) {
	var flags uint32
	if mode == Exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	if !wait {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return false, nil
	case errors.Is(err, windows.ERROR_INVALID_FUNCTION): // a file system without locks
		err = errors.Join(err, errors.ErrUnsupported)
	}
	return false, err
}
