package blob

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"muster/internal/filelock"
	"muster/internal/oserror"
)

// lockFile is what is locked of a folder. It stays when the mark is replaced.
const lockFile = ownerFile + ".lock"

// ErrInUse says that another process uses the folder.
var ErrInUse = errors.New("another process uses the folder for export files")

// use is how a folder is used, and the locks that tell others. There is a lock for each folder
// that was made anew at the path, since the one before may be put back.
type use struct {
	mode  filelock.Mode
	locks []*os.File
}

// Use tells others that this process uses the folder, until it is closed or the process ends:
// alone, or together with others who say the same. It is [ErrInUse] if that contradicts
// somebody else's use, and [errors.ErrUnsupported] on a file system that knows no locks.
func (f *Folder) Use(alone bool) error {
	mode := filelock.Shared
	if alone {
		mode = filelock.Exclusive
	}
	f.using.Lock()
	defer f.using.Unlock()
	lock, err := f.lock(mode)
	if err != nil {
		return err
	}
	f.use = &use{mode, []*os.File{lock}}
	return nil
}

// useAgain is Use for a folder that was made anew.
func (f *Folder) useAgain() error {
	f.using.Lock()
	defer f.using.Unlock()
	if f.use == nil {
		return nil
	}
	if f.locked() {
		return nil // another goroutine was faster
	}
	lock, err := f.lock(f.use.mode)
	if err != nil {
		return err
	}
	f.use.locks = append(f.use.locks, lock)
	return nil
}

// locked reports whether the folder that is at the path now is locked.
func (f *Folder) locked() bool {
	root, err := f.open()
	if err != nil {
		return false
	}
	there, err := root.Lstat(lockFile)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(f.use.locks, func(lock *os.File) bool {
		held, err := lock.Stat()
		return err == nil && os.SameFile(held, there)
	})
}

// lock locks the folder that is at the path now.
func (f *Folder) lock(mode filelock.Mode) (*os.File, error) {
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	if err := f.wantFile(root, lockFile); err != nil {
		return nil, err
	}
	// It is open for reading only, so that it does not keep a disk from being mounted read-only.
	// A network file system locks a file alone only where it is open for writing too.
	file, held, err := tryLock(root, os.O_RDONLY, mode)
	if errors.Is(err, syscall.EBADF) {
		file, held, err = tryLock(root, os.O_RDWR, mode)
	}
	if err != nil {
		return nil, oserror.Wrap(f.dir, fmt.Errorf("marking the folder for export files as used: %w", err))
	}
	if !held {
		return nil, ErrInUse
	}
	return file, nil
}

// tryLock opens the file to lock, which is made if it is not there, and takes the lock if it
// is free. The file is nil if it is not held.
func tryLock(root *os.Root, how int, mode filelock.Mode) (file *os.File, held bool, err error) {
	file, err = root.OpenFile(lockFile, how|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	if held, err = filelock.Try(file, mode); held {
		return file, true, nil
	}
	return nil, false, errors.Join(err, file.Close())
}

// endUse lets others use the folder.
func (f *Folder) endUse() error {
	f.using.Lock()
	defer f.using.Unlock()
	if f.use == nil {
		return nil
	}
	var errs []error
	for _, lock := range f.use.locks {
		errs = append(errs, lock.Close())
	}
	f.use = nil
	return errors.Join(errs...)
}
