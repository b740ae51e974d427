//go:build unix

package blob

import (
	"os"
	"syscall"
)

// openForReading are the flags with which blobs are opened. Without O_NONBLOCK, opening a named
// pipe would wait for a writer.
const openForReading = os.O_RDONLY | syscall.O_NONBLOCK
