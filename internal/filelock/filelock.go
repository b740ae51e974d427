// Package filelock holds locks on files, which exclude processes and, with a file of its own for
// each, goroutines. The kernel lets go of the locks of a process that dies.
package filelock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Mode says whom a lock keeps out.
type Mode int

// Modes of a lock.
const (
	Exclusive Mode = syscall.LOCK_EX // all others
	Shared    Mode = syscall.LOCK_SH // those who want it exclusively
)

// Try takes the lock if it is free. It is held until the file is closed. A file system that
// knows no locks makes an error that is [errors.ErrUnsupported].
func Try(f *os.File, mode Mode) (held bool, err error) {
	err = lock(f, int(mode)|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Wait takes the lock when it is free. It is held until the file is closed.
func Wait(f *os.File, mode Mode) error { return lock(f, int(mode)) }

func lock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ENOLCK): // what a network file system without a lock daemon says
			err = errors.Join(err, errors.ErrUnsupported)
		}
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
}
