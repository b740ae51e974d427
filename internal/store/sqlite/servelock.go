package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"muster/internal/regularfile"
	"muster/internal/store"
)

const serveFile = "serve.lock"

// LockServe locks the data directory for a server, until the returned value is closed or
// the process ends. A second server is refused: workers, janitor and poll limits are
// designed for one. A loader does not need the lock.
func LockServe(dir string) (io.Closer, error) {
	f, err := regularfile.OpenOwn(filepath.Join(dir, serveFile), os.O_RDWR|os.O_CREATE, 0o600)
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

// MarkServed returns a mark that watches the lock of [LockServe], which a server holds already
// when it opens the directory.
func (s *Store) MarkServed(context.Context) (store.ServeMark, error) {
	info, err := os.Stat(filepath.Join(s.dir, serveFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the lock of the server: %w", explain(s.dir, err))
	}
	return lockedMark{path: filepath.Join(s.dir, serveFile), locked: info, every: serveInterval}, nil
}

// serveInterval is how often a server looks for its lock file.
const serveInterval = time.Second

// lockedMark implements store.ServeMark. A lock is on a file, not on its name: if the file is
// removed or replaced, another server can lock the new one.
type lockedMark struct {
	path   string
	locked os.FileInfo // nil if there was no lock file
	every  time.Duration
}

// Watch implements store.ServeMark. It returns an error if the lock file was removed or
// replaced. While the disk fails, it waits.
func (m lockedMark) Watch(ctx context.Context) error {
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		if err := m.check(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m lockedMark) check() error {
	info, err := os.Stat(m.path)
	switch {
	case m.locked == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s, the lock of this server, was removed: another server could start on the same directory, so this one stops: start it again, and leave the file in place", m.path)
	case err == nil && !os.SameFile(info, m.locked):
		return fmt.Errorf("%s, the lock of this server, was replaced: another server may run on the same directory, so this one stops: stop the other one, or start this one again", m.path)
	}
	return nil
}

// Close implements store.ServeMark.
func (lockedMark) Close() error { return nil }

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
