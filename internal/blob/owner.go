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
)

// ownerFile is the mark of a folder: a file that holds the id of the owner. It begins with a
// dot, as no blob does, so nobody lists, opens or removes it as one.
const ownerFile = ".owner"

// ownerForm is the form of an id, and longestOwner is how much of a mark is read.
var ownerForm = regexp.MustCompile(`^[A-Za-z0-9-]{8,128}$`)

const longestOwner = 256

// temporaryMark begins the name of a mark that is being written.
const temporaryMark = ownerFile + ".tmp"

// Owner returns the id of the owner whose mark the folder carries, or "" if it carries none or
// is not there. A mark that is damaged is nobody's: what it holds is returned in quotes, which no
// id has.
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
	if err := f.wantFile(root, ownerFile); err != nil {
		return "", err
	}
	return readOwner(root)
}

// wantFile refuses what stands in the place of a file of the folder and is none: it would be
// shared with other folders, or could not be written.
func (f *Folder) wantFile(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil || info.Mode().IsRegular() {
		return nil // what is not there, or cannot be read, shows when it is opened
	}
	what := "neither a file nor a folder"
	switch {
	case info.IsDir():
		what = "a folder"
	case info.Mode()&fs.ModeSymlink != 0:
		what = "a link"
	}
	return fmt.Errorf("%s is %s, and must be a file that muster writes itself: move it away", filepath.Join(f.dir, name), what)
}

func readOwner(root *os.Root) (string, error) {
	file, err := root.Open(ownerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the mark of the folder for export files: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, longestOwner))
	if err != nil {
		return "", fmt.Errorf("reading the mark of the folder for export files: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !ownerForm.MatchString(id) {
		return strconv.Quote(id), nil
	}
	return id, nil
}

// Claim marks the folder as the owner's, unless it carries a mark, and returns whose it is then.
// Of several who claim at once, in one process or in many, one gets it and all are told who.
// The mark survives a power cut. A folder that is the owner's and that Create makes anew later
// gets the mark again.
func (f *Folder) Claim(ctx context.Context, owner string) (holder string, err error) {
	if holder, err = f.Owner(ctx); err != nil {
		return "", err
	}
	if holder == "" {
		if err := f.mark(owner, claimMark); err != nil {
			return "", err
		}
		if holder, err = f.Owner(ctx); err != nil {
			return "", err
		}
	}
	if holder != owner {
		return holder, nil
	}
	f.remember(owner)
	return holder, f.removeLeftoverMarks()
}

// markLeftover is how old a mark under a temporary name is when nobody is writing it any
// more: whoever did was killed.
const markLeftover = time.Hour

func (f *Folder) removeLeftoverMarks() error {
	root, err := f.open()
	if err != nil {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("listing the folder for export files: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryMark) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > markLeftover {
			_ = root.Remove(e.Name()) // or the next time
		}
	}
	return nil
}

// TakeOver marks the folder as the owner's, whose ever it was.
func (f *Folder) TakeOver(ctx context.Context, owner string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.mark(owner, func(root *os.Root, temporary, _ string) error { return root.Rename(temporary, ownerFile) }); err != nil {
		return err
	}
	f.remember(owner)
	return nil
}

func (f *Folder) remember(owner string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner = owner
}

// markAgain marks a folder that was made anew as that of the owner before, and as used.
func (f *Folder) markAgain() error {
	if err := f.useAgain(); err != nil {
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
		err = fmt.Errorf("the folder for export files %s belongs to another directory now: put the one before back", f.dir)
	}
	return err
}

// mark writes the mark under a temporary name and syncs it; place gives it its own name.
func (f *Folder) mark(owner string, place func(root *os.Root, temporary, owner string) error) error {
	if !ownerForm.MatchString(owner) {
		return fmt.Errorf("%q is not the id of an owner: write 8 to 128 letters, digits or hyphens", owner)
	}
	root, err := f.open()
	if err != nil {
		return err
	}
	if err := f.wantFile(root, ownerFile); err != nil {
		return err
	}
	temporary := temporaryMark + strconv.FormatUint(rand.Uint64(), 10)
	err = writeMark(root, temporary, owner)
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
		return oserror.Wrap(f.dir, fmt.Errorf("marking the folder for export files: %w", err))
	}
	return nil
}

// writeMark writes a synced file that must not be there yet. After an error it is not there.
func writeMark(root *os.Root, name, owner string) error {
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

// claimMark lets the mark appear whole unless there is one, which stays.
func claimMark(root *os.Root, temporary, owner string) error {
	err := root.Link(temporary, ownerFile)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		// A file system without hard links. Who reads the mark in this instant finds a damaged
		// one, and does not take the folder for its own.
		err = writeMark(root, ownerFile, owner)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
