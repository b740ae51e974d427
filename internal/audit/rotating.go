package audit

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"muster/internal/regularfile"
)

// rotatingFile is a file that is appended to, and that is set aside under a name with the time when
// it is full. What is set aside is compressed meanwhile. Its methods, apart from Close, are not for
// concurrent use.
type rotatingFile struct {
	path string
	now  func() time.Time
	log  *slog.Logger
	file *os.File // nil until the next Write

	compressing sync.Mutex     // held by the compression that runs
	forms       sync.Mutex     // held while the forms of a rotated file change
	work        sync.WaitGroup // compressions
}

// fileMode is the mode of all files of the log: only their owner may read them.
const fileMode = 0o600

// Write appends to the file. It creates the file if it does not exist.
func (r *rotatingFile) Write(p []byte) (int, error) {
	if err := r.open(); err != nil {
		return 0, err
	}
	return r.file.Write(p)
}

func (r *rotatingFile) open() (err error) {
	if r.file == nil {
		r.file, err = regularfile.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	}
	return err
}

// Truncate cuts the file to a size, in bytes. It does not extend a shorter file.
func (r *rotatingFile) Truncate(size int64) error {
	if err := r.open(); err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil || info.Size() <= size {
		return err
	}
	return r.file.Truncate(size)
}

// Rotate sets the file aside and begins a new one. If it returns an error, the file is the old one.
func (r *rotatingFile) Rotate() error {
	if err := r.closeFile(); err != nil {
		return err
	}
	aside, err := r.freeName()
	if err != nil {
		return err
	}
	if err := ignoreMissing(os.Rename(r.path, aside)); err != nil {
		return err
	}
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, fileMode)
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Rename(aside, r.path)))
	}
	r.file = file
	r.compress()
	return nil
}

// maxSameTime is how many files can be set aside within a millisecond.
const maxSameTime = 1000

// freeName returns a name with the time that no file has, compressed or not.
func (r *rotatingFile) freeName() (string, error) {
	extension := filepath.Ext(r.path)
	base := strings.TrimSuffix(r.path, extension) + "-" + r.now().UTC().Format(backupTime)
	for n := range maxSameTime {
		name := fmt.Sprintf("%s-%03d%s", base, n, extension)
		if !exists(name) && !exists(name+compressedExtension) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%d rotated audit logs have the time of %s: move some of them away", maxSameTime, base)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// compress compresses in the background what was set aside and is not compressed yet.
func (r *rotatingFile) compress() {
	r.work.Go(func() {
		r.compressing.Lock()
		defer r.compressing.Unlock()
		all, err := backupsOf(r.path)
		for _, b := range all {
			plain := filepath.Join(filepath.Dir(r.path), b.name)
			if !b.plain {
				continue
			}
			err = errors.Join(err, r.compressFile(plain))
		}
		if err != nil {
			r.log.Error("a rotated audit log cannot be compressed: it stays as it is until the next rotation", "file", r.path, "error", err)
		}
	})
}

// compressedExtension ends the names of compressed files.
const compressedExtension = ".gz"

// compressFile replaces a file with its compressed form, unless retention removes it meanwhile. A power
// cut leaves one of the two complete.
func (r *rotatingFile) compressFile(path string) (err error) {
	from, err := regularfile.Open(path)
	if err != nil {
		return ignoreMissing(err)
	}
	defer from.Close()
	partial := path + compressedExtension + ".tmp"
	to, err := regularfile.OpenOwn(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(to)
	_, err = io.Copy(packed, from)
	if err = errors.Join(err, packed.Close(), to.Sync(), to.Close()); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	if err := from.Close(); err != nil {
		return err
	}
	r.forms.Lock()
	defer r.forms.Unlock()
	if !exists(path) {
		return os.Remove(partial)
	}
	if err := os.Rename(partial, path+compressedExtension); err != nil {
		return err
	}
	return os.Remove(path)
}

// Remove removes a rotated file in all its forms.
func (r *rotatingFile) Remove(b backup) (err error) {
	r.forms.Lock()
	defer r.forms.Unlock()
	plain := filepath.Join(filepath.Dir(r.path), b.name)
	return errors.Join(ignoreMissing(os.Remove(plain)), ignoreMissing(os.Remove(plain+compressedExtension)))
}

func (r *rotatingFile) closeFile() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// Close closes the file and waits for the compression. A later Write opens the file again.
func (r *rotatingFile) Close() error {
	err := r.closeFile()
	r.work.Wait()
	return err
}
