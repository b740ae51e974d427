//go:build !linux

package blob

import (
	"io/fs"
	"time"
)

// lastChange is when the bytes of a file changed last.
func lastChange(info fs.FileInfo) time.Time { return info.ModTime() }
