//go:build unix

package pgtest

import "syscall"

// ownSession starts a command in its own session: a signal from the terminal ends this process,
// but not the script, which then cleans up.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
