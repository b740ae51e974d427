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
	"sync"
	"time"

	"muster/internal/failpoint"
	"muster/internal/oserror"
)

// Folder is a [Store] in a folder of the local disk. Several processes may use
// one folder.
type Folder struct {
	dir string

	mu   sync.Mutex
	root *os.Root    // the folder that was at dir when last looked at
	info fs.FileInfo // tells whether it still is

	owner string // whose the folder is, if it was claimed or taken over

	using sync.Mutex // of use; taken before mu
	use   *use       // nil unless others were told
}

// NewFolder opens the folder, which is made with its parents if it is not there.
// Only its owner may read it: exports are for those who asked for them.
func NewFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, noFolder(dir, err)
	}
	f := &Folder{dir: dir}
	if _, err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// ExistingFolder is [NewFolder] for those who only look: nothing is made, and what
// fails because the folder is not there, or may not be entered, tells so.
func ExistingFolder(dir string) *Folder { return &Folder{dir: dir} }

// Close lets go of the folder. Open readers are not affected.
func (f *Folder) Close() error {
	ended := f.endUse()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil {
		return ended
	}
	return errors.Join(ended, f.root.Close())
}

// Check tells in an error whether the folder cannot be used: it is gone, or may not be
// entered. One that was removed is made anew by the next Create, or may be put back
// by hand; until then Check tells. It costs one look at the disk.
func (f *Folder) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := f.open()
	return err
}

// open returns the folder that is at the path now. It may be another one than
// before: a folder that was removed or moved stays open as long as somebody holds
// it, but nobody would find what is written there.
func (f *Folder) open() (*os.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.dir)
	if err == nil && f.info != nil && os.SameFile(info, f.info) {
		return f.root, nil
	}
	var root *os.Root
	if err == nil {
		root, err = os.OpenRoot(f.dir)
	}
	if err == nil {
		info, err = root.Stat(".")
	}
	if err != nil {
		return nil, noFolder(f.dir, err)
	}
	// The one before is not closed here, for others may be using it: the
	// runtime closes it after them.
	f.root, f.info = root, info
	return root, nil
}

// noFolder explains why the folder at the path could not be opened or made.
func noFolder(dir string, err error) error {
	info, there := os.Stat(dir)
	_, named := os.Lstat(dir)
	switch {
	case there == nil && !info.IsDir():
		return fmt.Errorf("%s is no folder, and export files want a folder of that name: move it away: %w", dir, err)
	case errors.Is(there, fs.ErrNotExist) && named == nil:
		return fmt.Errorf("%s, the folder for export files, is a link to what is not there: mount or put back the folder that it leads to: %w", dir, err)
	}
	return fmt.Errorf("the folder for export files: %w: put it back, or see that it can be made and entered", err)
}

// remake is open, and makes the folder if it is gone. The folder above must be
// there: without it the whole data directory is gone, or not mounted.
func (f *Folder) remake() (*os.Root, error) {
	root, err := f.open()
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the folder for export files is gone: %w: put it back", err)
	}
	if err := f.markAgain(); err != nil {
		return nil, err
	}
	return f.open()
}

// attempts is how often Create makes the parents of a blob anew when a
// concurrent Remove of their last file takes them away again.
const attempts = 100

// Create implements [Store]. It makes the folder anew if that was removed.
func (f *Folder) Create(ctx context.Context, name string) (Writer, error) {
	w, err := f.create(ctx, name)
	if err != nil {
		return nil, oserror.Wrap(f.dir, err)
	}
	return w, nil
}

func (f *Folder) create(ctx context.Context, name string) (Writer, error) {
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
		root, err := f.remake()
		if err != nil {
			return nil, fmt.Errorf("creating blob %s: %w", name, err)
		}
		// A parent that goes away in the middle shows as absent or as there already:
		// opening the file below tells which it is.
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("creating blob %s: %w", name, err)
		}
		temporary := name + ".tmp" + strconv.FormatUint(rand.Uint64(), 10)
		file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			w := &writer{folder: f, file: file, name: name, temporary: temporary}
			if err := failpoint.Inject(ctx, "blob.created"); err != nil {
				w.Abort()
				return nil, err
			}
			return w, nil
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
	root, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", name, err)
	}
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s in %s: %w", name, f.dir, ErrNotFound)
	}
	if err != nil {
		return nil, oserror.Wrap(f.dir, fmt.Errorf("opening blob %s: %w", name, err))
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
	root, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing blob %s: %w", name, err)
	}
	// A folder is not a blob: an empty one must not go by its name.
	if info, err := root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return oserror.Wrap(f.dir, fmt.Errorf("removing blob %s: %w", name, err))
	}
	if err := failpoint.Inject(ctx, "blob.removed"); err != nil {
		return err
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		if err := root.Remove(parent); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // not empty: somebody's blobs are there
		}
	}
	return nil
}

// List implements [Store].
func (f *Folder) List(ctx context.Context, yield func(name string, modified time.Time) error) error {
	root, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return fmt.Errorf("listing blobs at %s: %w", name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if name != "." && checkName(name) != nil {
			return skip(entry) // not ours to name, so not ours to remove
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
		return yield(name, lastChange(info))
	})
}

// skip leaves out what has not the name of a blob, such as the mark of the owner, or the folder
// lost+found of a disk with all that is in it.
func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
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
	err := failpoint.Inject(context.Background(), "blob.write")
	n := 0
	if err == nil {
		n, err = w.file.Write(p)
	}
	if err != nil {
		return n, oserror.Wrap(w.folder.dir, fmt.Errorf("writing blob %s: %w", w.name, err))
	}
	return n, nil
}

// Commit implements [Writer].
func (w *writer) Commit() error {
	if w.done {
		return errDone
	}
	w.done = true
	if err := w.publish(); err != nil {
		_ = w.folder.Remove(context.Background(), w.temporary)
		return oserror.Wrap(w.folder.dir, fmt.Errorf("committing blob %s: %w", w.name, err))
	}
	return nil
}

// publish syncs the file, renames it and syncs the folders above it: a name is
// durable only when the folder that holds it is.
func (w *writer) publish() error {
	ctx := context.Background() // a commit is not given up half way
	err := failpoint.Inject(ctx, "blob.sync")
	if err == nil {
		err = w.file.Sync()
	}
	if closing := w.file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	root, err := w.folder.open()
	if err != nil {
		return err
	}
	if err := failpoint.Inject(ctx, "blob.rename"); err != nil {
		return err
	}
	if err := root.Rename(w.temporary, w.name); err != nil {
		return err
	}
	if err := syncParents(ctx, root, w.name); err != nil {
		_ = w.folder.Remove(ctx, w.name)
		return err
	}
	return nil
}

// syncParents syncs the folders above a name that has just appeared.
func syncParents(ctx context.Context, root *os.Root, name string) error {
	if err := failpoint.Inject(ctx, "blob.renamed"); err != nil {
		return err
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if err := syncFolder(root, dir); err != nil || dir == "." {
			return err
		}
	}
}

func syncFolder(root *os.Root, dir string) error {
	d, err := root.Open(dir)
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
