package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"time"
)

// Folder is a [Store] in a folder of the local disk. Several processes may use
// one folder.
type Folder struct {
	root *os.Root
}

// NewFolder opens the folder, which is made with its parents if it is not there.
// Only its owner may read it: exports are for those who asked for them.
func NewFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the folder for export files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder for export files: %w", err)
	}
	return &Folder{root: root}, nil
}

// Close lets go of the folder. Open readers and writers are not affected.
func (f *Folder) Close() error { return f.root.Close() }

// attempts is how often Create makes the parents of a blob anew when a
// concurrent Remove of their last file takes them away again.
const attempts = 100

// Create implements [Store].
func (f *Folder) Create(ctx context.Context, name string) (Writer, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if leftoverForm.MatchString(name) {
		return nil, fmt.Errorf("%q is not the name of a blob: the ending is that of leftovers", name)
	}
	var last error
	for range attempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// A parent that goes away in the middle shows as absent or as there already:
		// opening the file below tells which it is.
		if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("creating blob %s: %w", name, err)
		}
		temporary := name + ".tmp" + strconv.FormatUint(rand.Uint64(), 10)
		file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return &writer{folder: f, file: file, name: name, temporary: temporary}, nil
		}
		if last = err; !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, fmt.Errorf("creating blob %s: %w", name, last)
}

// Open implements [Store].
func (f *Folder) Open(ctx context.Context, name string) (Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if checkName(name) != nil || leftoverForm.MatchString(name) {
		return nil, fmt.Errorf("blob %q: %w", name, ErrNotFound)
	}
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", name, err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("opening blob %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, fmt.Errorf("blob %s: %w", name, ErrNotFound)
	}
	return reader{File: file, size: info.Size()}, nil
}

// Remove implements [Store]. Parents that become empty go too.
func (f *Folder) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	// A folder is not a blob: an empty one must not go by its name.
	if info, err := f.root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing blob %s: %w", name, err)
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		if err := f.root.Remove(parent); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // not empty: somebody's blobs are there
		}
	}
	return nil
}

// List implements [Store].
func (f *Folder) List(ctx context.Context, yield func(name string, modified time.Time) error) error {
	return fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return fmt.Errorf("listing blobs at %s: %w", name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing blobs at %s: %w", name, err)
		}
		return yield(name, info.ModTime())
	})
}

// writer is a blob under its temporary name.
type writer struct {
	folder          *Folder
	file            *os.File
	name, temporary string
	done            bool
}

var errDone = errors.New("the blob was committed or aborted already")

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, errDone
	}
	return w.file.Write(p)
}

// Commit implements [Writer].
func (w *writer) Commit() error {
	if w.done {
		return errDone
	}
	w.done = true
	if err := w.publish(); err != nil {
		_ = w.folder.Remove(context.Background(), w.temporary)
		return fmt.Errorf("committing blob %s: %w", w.name, err)
	}
	return nil
}

// publish syncs the file, renames it and syncs the folders above it: a name is
// durable only when the folder that holds it is.
func (w *writer) publish() error {
	err := w.file.Sync()
	if closing := w.file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if err := w.folder.root.Rename(w.temporary, w.name); err != nil {
		return err
	}
	for dir := path.Dir(w.name); ; dir = path.Dir(dir) {
		if err := w.folder.sync(dir); err != nil {
			_ = w.folder.Remove(context.Background(), w.name)
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

func (f *Folder) sync(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closing := d.Close(); err == nil {
		err = closing
	}
	return err
}

// Abort implements [Writer].
func (w *writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	_ = w.file.Close()
	_ = w.folder.Remove(context.Background(), w.temporary)
}

// reader is an open blob.
type reader struct {
	*os.File
	size int64
}

// Size implements [Reader].
func (r reader) Size() int64 { return r.size }
