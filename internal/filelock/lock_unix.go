//go:build unix

package filelock

import (
	"errors"
	"os"
	"syscall"
)

// lock takes a lock with flock(2). Without wait, it returns false if the lock is not free.
func lock(f *os.File, mode Mode, wait bool) (held bool, err error) {
	how := syscall.LOCK_EX
	if mode == Shared {
		how = syscall.LOCK_SH
	}
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, syscall.ENOLCK): // a network file system without a lock daemon
			err = errors.Join(err, errors.ErrUnsupported)
		}
		return false, err
	}
}
