package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"muster/internal/failpoint"
	"muster/internal/oserror"
	"muster/internal/regularfile"
)

// Folder is a [Store] in a folder of the local disk. Several processes may use one
// folder.
type Folder struct {
	dir string

	mu   sync.Mutex
	root *os.Root    // the folder at dir when it was last opened
	info fs.FileInfo // identifies it

	owner string // the owner, if this Folder has claimed the folder or taken it over

	useMu sync.Mutex // protects use; locked before mu
	use   *use       // nil unless Use was called
}

// NewFolder opens the folder, and creates it and its parents if they do not exist. Only
// the user of this process may read it, since exports are for the clients that requested
// them.
func NewFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explainMissing(dir, err)
	}
	f := &Folder{dir: dir}
	if _, err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// ExistingFolder is [NewFolder] for programs that only read: it creates nothing, and
// methods return an error if the folder does not exist or cannot be entered.
func ExistingFolder(dir string) *Folder { return &Folder{dir: dir} }

// Close closes the folder. Open readers are not affected.
func (f *Folder) Close() error {
	unlocked := f.endUse()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil {
		return unlocked
	}
	return errors.Join(unlocked, f.root.Close())
}

// Check returns an error if the folder cannot be used because it is missing or cannot be
// entered. The next Create creates a folder that was removed; until then, or until the
// folder is restored, Check returns an error. It costs one system call.
func (f *Folder) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := f.open()
	return err
}

// open returns the folder that is at the path now. It may differ from an earlier one: an
// open folder that was removed or moved remains usable, but what is written there would
// not be found.
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
		return nil, explainMissing(f.dir, err)
	}
	// The previous root is not closed here, because other goroutines may be using it. The
	// garbage collector closes it.
	f.root, f.info = root, info
	return root, nil
}

// explainMissing explains why the folder at the path could not be opened or created.
func explainMissing(dir string, err error) error {
	info, statErr := os.Stat(dir)
	_, lstatErr := os.Lstat(dir)
	switch {
	case statErr == nil && !info.IsDir():
		return fmt.Errorf("%s is not a folder, but export files are stored in a folder of that name: move it away: %w", dir, err)
	case errors.Is(statErr, fs.ErrNotExist) && lstatErr == nil:
		return fmt.Errorf("%s, the folder for export files, is a broken link: mount or restore its target: %w", dir, err)
	}
	return fmt.Errorf("the folder for export files: %w: restore it, or fix the permissions so that it can be created and entered", err)
}

// openOrCreate is open, and creates the folder if it is missing. Its parent must exist:
// otherwise the whole data directory is missing or not mounted.
func (f *Folder) openOrCreate() (*os.Root, error) {
	root, err := f.open()
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the folder for export files is missing: %w: restore it", err)
	}
	if err := f.restoreOwner(); err != nil {
		return nil, err
	}
	return f.open()
}

// attempts is how often Create creates the parents of a blob if a concurrent Remove of
// their last file removes them.
const attempts = 100

// Create implements [Store]. It creates the folder if it was removed.
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
	if temporaryForm.MatchString(name) {
		return nil, fmt.Errorf("%q is not the name of a blob: names of temporary files end like that", name)
	}
	var last error
	for range attempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		root, err := f.openOrCreate()
		if err != nil {
			return nil, fmt.Errorf("create blob %s: %w", name, err)
		}
		// If a parent is removed concurrently, the error may be that it does not exist or
		// that it exists. Opening the file below decides.
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("create blob %s: %w", name, err)
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
	return nil, fmt.Errorf("create blob %s: %w", name, last)
}

// Open implements [Store].
func (f *Folder) Open(ctx context.Context, name string) (Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if checkName(name) != nil || temporaryForm.MatchString(name) {
		return nil, fmt.Errorf("blob %q: %w", name, ErrNotFound)
	}
	root, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, err)
	}
	file, err := regularfile.OpenIn(root, name, os.O_RDONLY, 0)
	if err != nil {
		return nil, f.explainOpen(name, err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, f.explainOpen(name, err)
	}
	return reader{File: file, size: info.Size()}, nil
}

// explainOpen explains why a blob could not be opened. A folder is not a blob.
func (f *Folder) explainOpen(name string, err error) error {
	var other *regularfile.Error
	switch {
	case errors.As(err, &other) && !other.Mode.IsDir():
		return fmt.Errorf("%s is %s, not a file: move it away and restore the file: %w", filepath.Join(f.dir, name), regularfile.Kind(other.Mode), ErrNotFound)
	case other != nil, errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("blob %s in %s: %w", name, f.dir, ErrNotFound)
	}
	return oserror.Wrap(f.dir, fmt.Errorf("open blob %s: %w", name, err))
}

// Remove implements [Store]. Parents that become empty are removed too.
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
		return fmt.Errorf("remove blob %s: %w", name, err)
	}
	// A folder is not a blob, and an empty one must not be removed by its name.
	if info, err := root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return oserror.Wrap(f.dir, fmt.Errorf("remove blob %s: %w", name, err))
	}
	if err := failpoint.Inject(ctx, "blob.removed"); err != nil {
		return err
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		if err := root.Remove(parent); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // it has other blobs
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
			return nil // removed concurrently
		}
		if err != nil {
			return fmt.Errorf("list blobs at %s: %w", name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if name != "." && checkName(name) != nil {
			return skip(entry) // not a blob, so the janitor must not remove it
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list blobs at %s: %w", name, err)
		}
		return yield(name, lastChange(info))
	})
}

// skip skips an entry that does not have the name of a blob, such as the owner file, or
// the folder lost+found of a disk with its content.
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

var errDone = errors.New("the blob was already committed or aborted")

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
		return n, oserror.Wrap(w.folder.dir, fmt.Errorf("write blob %s: %w", w.name, err))
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
		return oserror.Wrap(w.folder.dir, fmt.Errorf("commit blob %s: %w", w.name, err))
	}
	return nil
}

// publish syncs the file, renames it and syncs its folders: a name is durable only if its
// folder is.
func (w *writer) publish() error {
	ctx := context.Background() // a commit is not cancelled halfway
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

// syncParents syncs the folders of a new name.
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
