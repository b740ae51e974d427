package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"muster/internal/store"
)

const serveFile = "serve.lock"

// LockServe locks the data directory for a server, until the returned value is closed or
// the process ends. A second server is refused: workers, janitor and poll limits are
// designed for one. A loader does not need the lock.
func LockServe(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, serveFile), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no data directory %s: name a directory that 'muster load' has filled", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be locked for a server: %w", dir, explain(dir, err))
	}
	held, err := tryLock(f)
	for tries := 0; err == nil && !held && tries < 5; tries++ {
		time.Sleep(20 * time.Millisecond) // Inspection.Served may hold the lock for an instant
		held, err = tryLock(f)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be locked for a server: %w", dir, err)
	}
	if !held {
		_ = f.Close()
		return nil, fmt.Errorf("data directory %s is being served by another process: stop that process first, or use another directory", dir)
	}
	return f, nil
}

// MarkServed returns a mark without effect: a server holds the lock of [LockServe] already
// when it opens the directory.
func (s *Store) MarkServed(context.Context) (store.ServeMark, error) { return lockedMark{}, nil }

type lockedMark struct{}

func (lockedMark) Watch(context.Context) error { return nil }
func (lockedMark) Close() error                { return nil }

// OpenUnserved opens the data directory while no server runs on it, and keeps servers away
// until the lock is closed. Close the lock before the store.
func OpenUnserved(ctx context.Context, dir string, o store.Options) (*Store, io.Closer, error) {
	lock, err := LockServe(dir)
	if err != nil {
		return nil, nil, err
	}
	s, err := Open(ctx, dir, o)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return s, lock, nil
}
