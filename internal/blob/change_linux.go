package blob

import (
	"io/fs"
	"syscall"
	"time"
)

// lastChange is when the bytes or the place of a file changed last: a file that is moved or
// copied into the folder keeps the time of its bytes, but not that of its inode.
func lastChange(info fs.FileInfo) time.Time {
	modified := info.ModTime()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if changed := time.Unix(stat.Ctim.Unix()); changed.After(modified) {
			return changed
		}
	}
	return modified
}
