//go:build unix

package failpoint

import (
	"os"
	"syscall"
)

const canPause = true

// pause stops all threads of the process until it receives SIGCONT. It simulates a machine that
// swaps or is suspended.
func pause() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }
