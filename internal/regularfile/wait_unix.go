//go:build unix

package regularfile

import "syscall"

// doNotWait is a flag with which opening a named pipe does not wait for its other end.
const doNotWait = syscall.O_NONBLOCK

// noLinks is a flag with which opening a symbolic link is an error.
const noLinks = syscall.O_NOFOLLOW
