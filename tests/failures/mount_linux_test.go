package failures

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// disk mounts a small file system in memory.
func (e *environment) disk(ts *testscript.TestScript, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+args[1])
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") != "true" {
		e.t.Skip("skipped: only root can mount a file system")
	}
	ts.Check(err)
	e.mounts = append(e.mounts, dir)
}

func unmount(t *testing.T, dir string) {
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

func (e *environment) readonly(ts *testscript.TestScript, args []string) {
	ts.Check(syscall.Mount("", ts.MkAbs(args[0]), "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
}

func (e *environment) writable(ts *testscript.TestScript, args []string) {
	ts.Check(syscall.Mount("", ts.MkAbs(args[0]), "", syscall.MS_REMOUNT|syscall.MS_BIND, ""))
}
