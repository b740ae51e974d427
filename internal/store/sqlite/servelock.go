package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const serveFile = "serve.lock"

// LockServe marks the data directory as served until the returned value is
// closed or the process ends. A second server is refused: workers, janitor and
// poll limits are made for one. Loaders need no mark.
func LockServe(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, serveFile), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no data directory %s: name a directory that 'muster load' has filled", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be marked as served: %w", dir, explain(dir, err))
	}
	held, err := tryLock(f)
	for tries := 0; err == nil && !held && tries < 5; tries++ {
		time.Sleep(20 * time.Millisecond) // a check looks whether it is served, for an instant
		held, err = tryLock(f)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be marked as served: %w", dir, err)
	}
	if !held {
		_ = f.Close()
		return nil, fmt.Errorf("data directory %s is being served by another process: stop that one first, or give this one a directory of its own", dir)
	}
	return f, nil
}
