package blob

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"muster/internal/filelock"
	"muster/internal/oserror"
	"muster/internal/regularfile"
)

// lockFile is the file that is locked. It is separate from the owner file, which may be
// replaced.
const lockFile = ownerFile + ".lock"

// ErrInUse means that another process uses the folder.
var ErrInUse = errors.New("another process uses the folder for export files")

// use is the mode of Use with its locks. There is one lock for each folder that was
// created at the path, since an earlier one may be restored.
type use struct {
	mode  filelock.Mode
	locks []*os.File
}

// Use locks the folder until it is closed or the process ends: exclusively, or shared
// with other processes. It returns [ErrInUse] if another process holds a conflicting
// lock, and [errors.ErrUnsupported] on a file system without locks.
func (f *Folder) Use(exclusive bool) error {
	mode := filelock.Shared
	if exclusive {
		mode = filelock.Exclusive
	}
	f.useMu.Lock()
	defer f.useMu.Unlock()
	lock, err := f.lock(mode)
	if err != nil {
		return err
	}
	f.use = &use{mode, []*os.File{lock}}
	return nil
}

// relock locks a folder that was created again, in the mode of Use.
func (f *Folder) relock() error {
	f.useMu.Lock()
	defer f.useMu.Unlock()
	if f.use == nil {
		return nil
	}
	if f.locked() {
		return nil // by another goroutine
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
	current, err := root.Lstat(lockFile)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(f.use.locks, func(lock *os.File) bool {
		held, err := lock.Stat()
		return err == nil && os.SameFile(held, current)
	})
}

// lock locks the folder that is at the path now.
func (f *Folder) lock(mode filelock.Mode) (*os.File, error) {
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	if err := f.requireRegular(root, lockFile); err != nil {
		return nil, err
	}
	// The file is opened read-only, so that the disk can be remounted read-only. A network file
	// system requires a file open for writing for an exclusive lock.
	file, held, err := tryLock(root, os.O_RDONLY, mode)
	if errors.Is(err, syscall.EBADF) {
		file, held, err = tryLock(root, os.O_RDWR, mode)
	}
	if err != nil {
		return nil, oserror.Wrap(f.dir, fmt.Errorf("lock the folder for export files: %w", err))
	}
	if !held {
		return nil, ErrInUse
	}
	return file, nil
}

// tryLock opens the lock file, creates it if it does not exist, and takes the lock if it
// is free. If it is not, the file is nil.
func tryLock(root *os.Root, flag int, mode filelock.Mode) (file *os.File, held bool, err error) {
	file, err = regularfile.OpenIn(root, lockFile, flag|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	if held, err = filelock.Try(file, mode); held {
		return file, true, nil
	}
	return nil, false, errors.Join(err, file.Close())
}

// endUse releases the locks of Use.
func (f *Folder) endUse() error {
	f.useMu.Lock()
	defer f.useMu.Unlock()
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
