package pgtest

import "syscall"

// ownSession starts a command in its own process group: Ctrl-C ends this process, but not the
// script, which then cleans up.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
