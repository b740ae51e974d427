//go:build !linux

package blob

import (
	"io/fs"
	"time"
)

// lastChange returns when the content of a file last changed.
func lastChange(info fs.FileInfo) time.Time { return info.ModTime() }
