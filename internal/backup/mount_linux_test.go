package backup_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"muster/internal/backup"
)

// TestAnotherDisk backs up to another file system, where files are copied, not linked.
func TestAnotherDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("only root can mount another disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, 0) })
	files := folder(t, filepath.Join(t.TempDir(), "files"), "a/1", "b/1")
	s := &source{rounds: []round{{[]string{"a/1", "b/1"}, nil}}}
	out := filepath.Join(disk, "copy")
	sum, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out})
	must(t, err)
	same(t, "the copy", tree(t, out), []string{"database", "files/a/1", "files/b/1"})
	if sum.Linked != 0 || sum.Files != 2 {
		t.Errorf("summary %+v", sum)
	}
}
