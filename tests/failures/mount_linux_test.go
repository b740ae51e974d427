package failures

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
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

// noRealDisks is a variable that makes realDisk do without a disk, as on a machine that gives it none.
const noRealDisks = "MUSTER_TEST_NO_REAL_DISKS"

// realDisk mounts a file system of the kind that servers have, on a file. Its errors make it
// read-only, which no other command of mount does while a program has files open for writing. Many
// containers have no loop devices: breakDisk then lets the kernel refuse all writes to files.
func (e *environment) realDisk(ts *testscript.TestScript, args []string) {
	dir, image := ts.MkAbs(args[0]), ts.MkAbs(args[0]+".disk")
	ts.Check(os.MkdirAll(dir, 0o700))
	if os.Getenv(noRealDisks) != "" {
		return
	}
	ts.Check(os.WriteFile(image, nil, 0o600))
	ts.Check(os.Truncate(image, size(ts, args[1])))
	err := ts.Exec("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image)
	if err == nil {
		err = mountImage(ts, image, dir)
	}
	var trigger *os.File
	if err == nil {
		e.mounts = append(e.mounts, dir)
		trigger, err = openTrigger(ts, dir)
	}
	if err != nil {
		e.t.Logf("no disk in a file can be broken here, so the writes of the program are refused instead: %v", err)
		return
	}
	e.breakable = dir
	ts.Check(trigger.Close())
}

// openTrigger opens the file that makes the file system of a folder find an error.
func openTrigger(ts *testscript.TestScript, dir string) (*os.File, error) {
	if err := ts.Exec("findmnt", "-no", "SOURCE", dir); err != nil {
		return nil, err
	}
	device := filepath.Base(strings.TrimSpace(ts.ReadFile("stdout")))
	return os.OpenFile("/sys/fs/ext4/"+device+"/trigger_fs_error", os.O_WRONLY, 0)
}

func mountImage(ts *testscript.TestScript, image, dir string) error {
	return ts.Exec("mount", "-o", "loop,errors=remount-ro", image, dir)
}

// breakDisk lets the file system find an error of the disk. Without a disk, it sets the maximum size
// of files of the server, and of later programs, to zero, which needs no rights.
func (e *environment) breakDisk(ts *testscript.TestScript, args []string) {
	dir := ts.MkAbs(args[0])
	if e.breakable != dir {
		var limit unix.Rlimit
		ts.Check(unix.Prlimit(e.server.PID(), unix.RLIMIT_FSIZE, nil, &limit))
		limit.Cur = 0
		ts.Check(unix.Prlimit(e.server.PID(), unix.RLIMIT_FSIZE, &limit, nil))
		e.path = ts.Getenv("PATH")
		limited := ts.MkAbs("limited")
		ts.Check(os.MkdirAll(limited, 0o700))
		ts.Check(os.WriteFile(filepath.Join(limited, "muster"), []byte("#!/bin/sh\nulimit -S -f 0\nexec '"+string(muster)+"' \"$@\"\n"), 0o700))
		ts.Setenv("PATH", limited+string(filepath.ListSeparator)+e.path)
		return
	}
	trigger, err := openTrigger(ts, dir)
	ts.Check(err)
	_, err = trigger.WriteString("an error for a test")
	ts.Check(errors.Join(err, trigger.Close()))
}

// repairDisk unmounts the disk, which no process may use, checks it and mounts it again.
func (e *environment) repairDisk(ts *testscript.TestScript, args []string) {
	dir, image := ts.MkAbs(args[0]), ts.MkAbs(args[0]+".disk")
	if e.breakable != dir {
		ts.Setenv("PATH", e.path)
		return
	}
	ts.Check(syscall.Unmount(dir, 0))
	_ = ts.Exec("e2fsck", "-fy", image) // exits with 1 if it has repaired something
	ts.Check(mountImage(ts, image, dir))
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
