package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"muster/internal/blob"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// Config configures [Run]. All fields except Progress are required.
type Config struct {
	Source store.Freezer
	Files  *blob.Folder // files of the directory
	Folder string       // name of the folder of the files in the copy
	Out    string       // folder of the copy: it must be empty or not exist
	// Progress is called with the stage, and with how much of it is done and in total.
	// Optional.
	Progress func(stage string, done, total int64)
}

// Summary describes a copy.
type Summary struct {
	Time   fhir.Instant  // time of the snapshot
	Held   time.Duration // longest time that writers were blocked
	Files  int           // files in the copy
	Linked int           // files that are hard links, which take no space
	Lost   []string      // files that jobs name but that are missing in the directory
}

// maxSnapshots is how many snapshots are taken if files are deleted before they are copied.
const maxSnapshots = 10

// Run copies a directory. After an error there is no copy.
func Run(ctx context.Context, c Config) (s Summary, err error) {
	if c.Progress == nil {
		c.Progress = func(string, int64, int64) {}
	}
	if err := checkTarget(c.Out); err != nil {
		return s, err
	}
	parent, name := filepath.Dir(filepath.Clean(c.Out)), filepath.Base(filepath.Clean(c.Out))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	partial, err := os.MkdirTemp(parent, "."+name+".partial-")
	if err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	if err := c.fill(ctx, partial, &s); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	if err := syncTree(partial); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	if err := failpoint.Inject(ctx, "backup.synced"); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	// Remove deletes an empty folder and fails if it is not empty any more.
	if err := os.Remove(c.Out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(partial, c.Out); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	_ = failpoint.Inject(ctx, "backup.renamed") // the copy is complete: only a crash matters
	return s, syncPath(parent)
}

// checkTarget returns an error if the copy would overwrite files.
func checkTarget(out string) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("backup: %w: specify a folder that is empty or does not exist", err)
	case len(entries) > 0:
		return fmt.Errorf("backup: %s is not empty, it holds %s: specify a folder that is empty or does not exist", out, entries[0].Name())
	}
	return nil
}

// fill copies the files and databases of one snapshot to the folder.
func (c Config) fill(ctx context.Context, dir string, s *Summary) error {
	copied, err := blob.NewFolder(filepath.Join(dir, c.Folder))
	if err != nil {
		return err
	}
	defer func() { _ = copied.Close() }()
	f := files{from: c.Files, to: copied, copied: map[string]bool{}, progress: c.Progress}
	frozen, err := c.freeze(ctx, &f, s)
	if err != nil {
		return err
	}
	s.Time, s.Files, s.Linked = frozen.Time(), len(f.copied), f.linked
	if err := failpoint.Inject(ctx, "backup.linked"); err != nil {
		return errors.Join(err, frozen.Close())
	}
	err = frozen.Write(ctx, dir, func(done, total int64) { c.Progress("database", done, total) })
	if owner := frozen.FilesOwner(); err == nil && owner != "" {
		err = copied.TakeOver(ctx, owner)
	}
	return errors.Join(err, frozen.Close())
}

// freeze takes a snapshot and copies all of its files.
func (c Config) freeze(ctx context.Context, f *files, s *Summary) (store.Frozen, error) {
	var missing []string
	for range maxSnapshots {
		frozen, err := c.Source.Freeze(ctx)
		if err != nil {
			return nil, err
		}
		s.Held = max(s.Held, frozen.Held())
		before := missing
		if missing, err = f.sync(ctx, frozen); err != nil {
			return nil, errors.Join(err, frozen.Close())
		}
		lost := len(missing) > 0 && slices.Equal(missing, before)
		if lost {
			s.Lost = missing
		}
		if len(missing) == 0 || lost {
			return frozen, nil
		}
		// Either their job was cancelled or has expired since, or they are lost: the next
		// snapshot decides.
		if err := frozen.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the files of exports, such as %s, are deleted faster than they can be copied: try again when fewer exports expire", missing[0])
}

// files copies files and keeps count of them.
type files struct {
	from, to *blob.Folder
	copied   map[string]bool
	linked   int
	progress func(stage string, done, total int64)
}

// sync copies the files of a snapshot and removes all others from the copy. It returns the
// names of the files that are missing in the directory, in ascending order.
func (f *files) sync(ctx context.Context, frozen store.Frozen) (missing []string, err error) {
	names, err := frozen.Objects(ctx)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for n, name := range names {
		wanted[name] = true
		f.progress("files", int64(n+1), int64(len(names)))
		if f.copied[name] {
			continue
		}
		linked, err := f.from.Clone(ctx, name, f.to)
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		f.copied[name] = true
		if linked {
			f.linked++
		}
	}
	for _, name := range slices.Collect(maps.Keys(f.copied)) {
		if wanted[name] {
			continue
		}
		delete(f.copied, name)
		if err := f.to.Remove(ctx, name); err != nil {
			return nil, err
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// syncTree flushes everything in a folder to disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
