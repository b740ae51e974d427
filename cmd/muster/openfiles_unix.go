//go:build unix

package main

import "syscall"

// openFiles returns how many files the process may have open, 0 if that is not known. Package os
// has raised the limit to the hard one.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
