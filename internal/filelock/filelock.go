// Package filelock locks files. A lock excludes other processes, and goroutines of this process
// that opened the file themselves. The operating system releases the locks of a process that
// ends.
package filelock

import (
	"fmt"
	"os"
)

// Mode is the kind of a lock.
type Mode int

// Modes of a lock.
const (
	Exclusive Mode = iota + 1 // excludes all other locks
	Shared                    // excludes exclusive locks
)

// Try takes the lock if it is free and reports whether it did. The lock is held until the file
// is closed. If the file system does not support locks, the error is [errors.ErrUnsupported].
func Try(f *os.File, mode Mode) (held bool, err error) {
	held, err = lock(f, mode, false)
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return held, nil
}

// Wait waits until the lock is free and takes it. The lock is held until the file is closed.
func Wait(f *os.File, mode Mode) error {
	if _, err := lock(f, mode, true); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
