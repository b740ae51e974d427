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
)

// Source is a directory that can be copied. A driver implements it.
type Source interface {
	// Freeze opens a snapshot of resources and jobs of one moment. It holds up
	// writers for an instant only.
	Freeze(ctx context.Context) (Frozen, error)
}

// Frozen is a directory at one moment. Not safe for use by several goroutines.
type Frozen interface {
	// Time is the last moment that was given out then.
	Time() fhir.Instant
	// Held is how long writers were held up.
	Held() time.Duration
	// Objects returns the names of the files that belong to jobs.
	Objects(ctx context.Context) ([]string, error)
	// Write writes resources and jobs into the folder dir. progress, in bytes or in
	// another unit that is the same for both, may be called now and then.
	Write(ctx context.Context, dir string, progress func(done, total int64)) error
	// FilesOwner is called after Write and returns the id of the copy as the owner of its
	// folder of files, or "" if that is to carry no mark.
	FilesOwner() string
	Close() error
}

// Config is what a backup needs. All but Progress must be set.
type Config struct {
	Source Source
	Files  *blob.Folder // of the directory
	Folder string       // name of the folder of the files in the copy
	Out    string       // the copy: a folder that is empty or not there
	// Progress is told the stage, and how much of it is done and is to be done.
	Progress func(stage string, done, total int64)
}

// Summary says what was copied.
type Summary struct {
	Time   fhir.Instant  // the moment of the copy
	Held   time.Duration // how long writers were held up, at the longest
	Files  int
	Linked int      // of Files: as hard links, which take no room
	Lost   []string // files that jobs name and that the directory has lost
}

// maxSnapshots is how often a snapshot is taken anew because files went.
const maxSnapshots = 10

// Run makes the copy. After an error there is none.
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
	// An empty folder gives way; one that is not empty any more does not.
	if err := os.Remove(c.Out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(partial, c.Out); err != nil {
		return s, fmt.Errorf("backup: %w", err)
	}
	_ = failpoint.Inject(ctx, "backup.renamed") // the copy is there: only a death matters
	return s, syncPath(parent)
}

// checkTarget refuses what would be overwritten.
func checkTarget(out string) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("backup: %w: name a folder that is empty or not there", err)
	case len(entries) > 0:
		return fmt.Errorf("backup: %s is not empty: it holds %s. Name a folder that is empty or not there", out, entries[0].Name())
	}
	return nil
}

// fill copies files and databases of one moment into the folder.
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

// freeze takes a snapshot of which all files are copied.
func (c Config) freeze(ctx context.Context, f *files, s *Summary) (Frozen, error) {
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
		// Their job was cancelled or has expired since; or they are lost, which the
		// next round shows.
		if err := frozen.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the files of exports go faster than they can be copied, such as %s: try again when fewer exports expire", missing[0])
}

// files are the files of the copy.
type files struct {
	from, to *blob.Folder
	copied   map[string]bool
	linked   int
	progress func(stage string, done, total int64)
}

// take copies the files of a snapshot and removes others from the copy. It returns
// the names of those that are not there, in order.
func (f *files) sync(ctx context.Context, frozen Frozen) (missing []string, err error) {
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

// syncTree makes everything in a folder survive a power cut.
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
