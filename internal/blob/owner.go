package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"muster/internal/oserror"
	"muster/internal/regularfile"
)

// ownerFile is the name of the file that holds the id of the owner. It starts with a dot,
// as no blob does, so it is never listed, opened or removed as a blob.
const ownerFile = ".owner"

// ownerForm is the form of an owner id, and maxOwnerFile is how many bytes of the file are
// read.
var ownerForm = regexp.MustCompile(`^[A-Za-z0-9-]{8,128}$`)

const maxOwnerFile = 256

// temporaryOwnerFile begins the name of an owner file that is being written.
const temporaryOwnerFile = ownerFile + ".tmp"

// Owner returns the id of the folder's owner, or "" if it has none or does not exist. A
// damaged owner file has no valid owner: its content is returned in quotes, which no id
// contains.
func (f *Folder) Owner(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	root, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := f.requireRegular(root, ownerFile); err != nil {
		return "", err
	}
	return readOwner(root)
}

// requireRegular returns an error if the owner or lock file exists and is not a regular file.
// A symbolic link could point to the file of another folder, and a directory cannot be
// written as a file.
func (f *Folder) requireRegular(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil || info.Mode().IsRegular() {
		return nil // opening a missing or unreadable file returns the error
	}
	return &regularfile.Error{Path: filepath.Join(f.dir, name), Mode: info.Mode()}
}

func readOwner(root *os.Root) (string, error) {
	file, err := regularfile.OpenIn(root, ownerFile, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read owner of the folder for export files: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxOwnerFile))
	if err != nil {
		return "", fmt.Errorf("read owner of the folder for export files: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !ownerForm.MatchString(id) {
		return strconv.Quote(id), nil
	}
	return id, nil
}

// Claim records owner as the folder's owner unless it has one, and returns the owner that
// it has then. Of concurrent claims, in one process or in several, one succeeds and all
// return the same owner. The owner file survives a power failure. If Create later creates
// the folder again, it records the same owner again.
func (f *Folder) Claim(ctx context.Context, owner string) (holder string, err error) {
	if holder, err = f.Owner(ctx); err != nil {
		return "", err
	}
	if holder == "" {
		if err := f.writeOwner(owner, placeIfAbsent); err != nil {
			return "", err
		}
		if holder, err = f.Owner(ctx); err != nil {
			return "", err
		}
	}
	if holder != owner {
		return holder, nil
	}
	f.setOwner(owner)
	return holder, f.removeTemporaryOwnerFiles()
}

// leftoverAge is the age at which a temporary owner file was left by a killed process.
const leftoverAge = time.Hour

func (f *Folder) removeTemporaryOwnerFiles() error {
	root, err := f.open()
	if err != nil {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("list the folder for export files: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryOwnerFile) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > leftoverAge {
			_ = root.Remove(e.Name()) // otherwise the next claim removes it
		}
	}
	return nil
}

// TakeOver records owner as the folder's owner and replaces any other owner.
func (f *Folder) TakeOver(ctx context.Context, owner string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.writeOwner(owner, func(root *os.Root, temporary, _ string) error { return root.Rename(temporary, ownerFile) }); err != nil {
		return err
	}
	f.setOwner(owner)
	return nil
}

func (f *Folder) setOwner(owner string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner = owner
}

// restoreOwner records lock and owner in a folder that was created again.
func (f *Folder) restoreOwner() error {
	if err := f.relock(); err != nil {
		return err
	}
	f.mu.Lock()
	owner := f.owner
	f.mu.Unlock()
	if owner == "" {
		return nil
	}
	holder, err := f.Claim(context.Background(), owner)
	if err == nil && holder != owner {
		err = fmt.Errorf("the folder for export files %s now belongs to another directory: restore the previous folder", f.dir)
	}
	return err
}

// writeOwner writes the owner under a temporary name and syncs it; place then gives it
// its final name.
func (f *Folder) writeOwner(owner string, place func(root *os.Root, temporary, owner string) error) error {
	if !ownerForm.MatchString(owner) {
		return fmt.Errorf("%q is not an owner id: write 8 to 128 letters, digits or hyphens", owner)
	}
	root, err := f.open()
	if err != nil {
		return err
	}
	if err := f.requireRegular(root, ownerFile); err != nil {
		return err
	}
	temporary := temporaryOwnerFile + strconv.FormatUint(rand.Uint64(), 10)
	err = writeOwnerFile(root, temporary, owner)
	if err == nil {
		err = place(root, temporary, owner)
	}
	if err == nil {
		err = syncFolder(root, ".")
	}
	if gone := root.Remove(temporary); err == nil && !errors.Is(gone, fs.ErrNotExist) {
		err = gone
	}
	if err != nil {
		return oserror.Wrap(f.dir, fmt.Errorf("write owner of the folder for export files: %w", err))
	}
	return nil
}

// writeOwnerFile writes and syncs a file that must not exist. After an error it does not
// exist.
func writeOwnerFile(root *os.Root, name, owner string) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, owner+"\n")
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = root.Remove(name)
	}
	return err
}

// placeIfAbsent gives the owner file its final name unless it exists.
func placeIfAbsent(root *os.Root, temporary, owner string) error {
	err := root.Link(temporary, ownerFile)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		// The file system has no hard links. A concurrent reader may find a damaged owner file,
		// and does not use the folder.
		err = writeOwnerFile(root, ownerFile, owner)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
