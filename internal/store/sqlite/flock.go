package sqlite

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"muster/internal/failpoint"
	"muster/internal/filelock"
	"muster/internal/regularfile"
)

// lockFile waits for an exclusive lock on a file. Each call opens the file, so that
// goroutines exclude each other as processes do. The kernel releases the locks of a process
// that dies. When ctx ends first, a goroutine waits for the lock and releases it at once.
// While it waits, lockFile reports a holder of the gate that makes no progress. A lock is on a
// file, not on its name: if the file was removed or replaced meanwhile, lockFile locks the one
// that others lock now.
func (g gate) lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := regularfile.OpenOwn(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if unlock, err = g.lockOpen(ctx, f); err != nil || isAt(f, path) {
			return unlock, err
		}
		unlock()
	}
}

// isAt reports whether a path is that of an open file, as far as the disk says so.
func isAt(f *os.File, path string) bool {
	locked, err1 := f.Stat()
	named, err2 := os.Stat(path)
	if err1 != nil || err2 != nil {
		return !errors.Is(err2, os.ErrNotExist)
	}
	return os.SameFile(locked, named)
}

// lockOpen is lockFile for an open file, which it closes after an error.
func (g gate) lockOpen(ctx context.Context, f *os.File) (unlock func(), err error) {
	if held, err := tryLock(f); held || err != nil {
		if held {
			mark(f)
		}
		return func() { _ = f.Close() }, err
	}
	if err := failpoint.Inject(ctx, "directory.gate.waiting"); err != nil {
		_ = f.Close()
		return nil, err
	}
	locked := make(chan error, 1)
	go func() { locked <- filelock.Wait(f, filelock.Exclusive) }()
	look := time.NewTicker(cmp.Or(g.every, watchInterval))
	defer look.Stop()
	w := watcher{gate: g}
	for {
		select {
		case now := <-look.C:
			if g.stalls != nil {
				w.look(now)
			}
		case err := <-locked:
			if err != nil {
				_ = f.Close()
				return nil, err
			}
			mark(f)
			return func() { _ = f.Close() }, nil
		case <-ctx.Done():
			go func() {
				<-locked
				_ = f.Close()
			}()
			return nil, context.Cause(ctx)
		}
	}
}

// tryLock locks the file if the lock is free. It closes the file after an error.
func tryLock(f *os.File) (held bool, err error) {
	if held, err = filelock.Try(f, filelock.Exclusive); err != nil {
		_ = f.Close()
	}
	return held, err
}
