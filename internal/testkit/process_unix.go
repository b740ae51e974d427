//go:build unix

package testkit

import "syscall"

// Stop suspends the process until [Process.Continue]. It simulates a machine that swaps or whose
// disk hangs.
func (r *Process) Stop() error { return r.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue resumes a process that [Process.Stop] suspended.
func (r *Process) Continue() error { return r.cmd.Process.Signal(syscall.SIGCONT) }
