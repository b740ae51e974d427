package blob

import (
	"io/fs"
	"syscall"
	"time"
)

// lastChange returns when the content or the location of a file last changed: a file that
// is moved or copied into the folder keeps its modification time, but not the change time
// of its inode.
func lastChange(info fs.FileInfo) time.Time {
	modified := info.ModTime()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if changed := time.Unix(stat.Ctim.Unix()); changed.After(modified) {
			return changed
		}
	}
	return modified
}
