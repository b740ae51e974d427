package sqlite

import (
	"context"
	"os"

	"muster/internal/failpoint"
	"muster/internal/filelock"
)

// acquire takes an exclusive lock on a file, waiting for its turn. Each call has
// a file descriptor of its own, so that goroutines exclude each other as
// processes do; the kernel lets go of the lock of a process that dies. When ctx
// ends first, the turn is given up as soon as it comes.
func acquire(ctx context.Context, path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if held, err := tryLock(f); held || err != nil {
		return func() { _ = f.Close() }, err
	}
	if err := failpoint.Inject(ctx, "directory.gate.waiting"); err != nil {
		_ = f.Close()
		return nil, err
	}
	turn := make(chan error, 1)
	go func() { turn <- filelock.Wait(f, filelock.Exclusive) }()
	select {
	case err := <-turn:
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return func() { _ = f.Close() }, nil
	case <-ctx.Done():
		go func() {
			<-turn
			_ = f.Close()
		}()
		return nil, context.Cause(ctx)
	}
}

// tryLock takes the lock if it is free. After an error the file is closed.
func tryLock(f *os.File) (held bool, err error) {
	if held, err = filelock.Try(f, filelock.Exclusive); err != nil {
		_ = f.Close()
	}
	return held, err
}
