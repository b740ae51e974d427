//go:build unix

package oserror

import "syscall"

// posix returns the POSIX number of an error of the operating system.
func posix(number syscall.Errno) syscall.Errno { return number }
