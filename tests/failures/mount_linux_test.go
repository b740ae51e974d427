package failures

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
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

// realDisk mounts a file system of the kind that servers have, on a file. Its errors make it
// read-only, which no other command of mount does while a program has files open for writing.
func (e *environment) realDisk(ts *testscript.TestScript, args []string) {
	dir, image := ts.MkAbs(args[0]), ts.MkAbs(args[0]+".disk")
	if _, err := os.Stat("/dev/loop-control"); err != nil || os.Getuid() != 0 {
		e.t.Skip("skipped: a disk in a file requires root and a loop device")
	}
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(os.WriteFile(image, nil, 0o600))
	ts.Check(os.Truncate(image, size(ts, args[1])))
	ts.Check(ts.Exec("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image))
	e.mountImage(ts, image, dir)
	e.mounts = append(e.mounts, dir)
}

func (e *environment) mountImage(ts *testscript.TestScript, image, dir string) {
	ts.Check(ts.Exec("mount", "-o", "loop,errors=remount-ro", image, dir))
}

// breakDisk lets the file system find an error of the disk.
func (e *environment) breakDisk(ts *testscript.TestScript, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(ts.Exec("findmnt", "-no", "SOURCE", dir))
	device := filepath.Base(strings.TrimSpace(ts.ReadFile("stdout")))
	ts.Check(os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("an error for a test"), 0))
}

// repairDisk unmounts the disk, which no process may use, checks it and mounts it again.
func (e *environment) repairDisk(ts *testscript.TestScript, args []string) {
	dir, image := ts.MkAbs(args[0]), ts.MkAbs(args[0]+".disk")
	ts.Check(syscall.Unmount(dir, 0))
	_ = ts.Exec("e2fsck", "-fy", image) // exits with 1 if it has repaired something
	e.mountImage(ts, image, dir)
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
