package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Clone creates a blob with the same name in another folder: as a hard link, which takes
// no space, or as a copy where links are not possible, for example on another disk. A
// blob never changes, so the two remain equal, and each can be removed independently. It
// returns [ErrNotFound] if the blob does not exist.
func (f *Folder) Clone(ctx context.Context, name string, to *Folder) (linked bool, err error) {
	if err := checkName(name); err != nil {
		return false, err
	}
	from, target := filepath.Join(f.dir, filepath.FromSlash(name)), filepath.Join(to.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return false, fmt.Errorf("clone blob %s: %w", name, err)
	}
	info, err := os.Lstat(from)
	if err == nil && info.Mode().IsRegular() {
		err = os.Link(from, target)
		if err == nil {
			return true, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("clone blob %s: %w", name, ErrNotFound)
	}
	return false, f.copyTo(ctx, name, to)
}

func (f *Folder) copyTo(ctx context.Context, name string, to *Folder) error {
	r, err := f.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := to.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort() // does nothing after Commit
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("clone blob %s: %w", name, err)
	}
	return w.Commit()
}
