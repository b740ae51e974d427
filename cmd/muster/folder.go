package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"muster/internal/blob"
	"muster/internal/humanize"
	"muster/internal/oserror"
	"muster/internal/store"
)

// legacyOwnerFile is the file beside the files folder of a directory in PostgreSQL in
// which older versions of muster wrote the id of the directory. A database that is
// restored from a dump has the same id, so the file is ignored and deleted.
const legacyOwnerFile = "directory.id"

// ownedFolder is the folder for export files, with the directory that opened it. A folder
// belongs to one directory, since the janitor deletes the files that no export of its
// directory names.
type ownedFolder struct {
	*blob.Folder
	path   string
	owner  string // the id of the directory
	adopt  string // the command that makes the directory the owner
	shared bool   // several servers of the directory may use the folder, also on other machines
}

// openFilesFolder opens the folder of a directory and creates it if it does not exist. It
// does not check the owner.
func openFilesFolder(ctx context.Context, data, database string, d directory) (*ownedFolder, error) {
	id, err := d.FilesOwner(ctx)
	if err != nil {
		return nil, err
	}
	path := filesFolder(data)
	files, err := blob.NewFolder(path)
	if err != nil {
		return nil, err
	}
	return &ownedFolder{Folder: files, path: path, owner: id, adopt: adoptCommand(data, database), shared: database != ""}, nil
}

// claimFilesFolder opens the folder and makes the directory its owner. It returns an
// error if another directory owns the folder, if a server of another directory uses it,
// even one of an identical copy, and if the folder has no owner but contains files of
// exports that are unknown to the directory. Several servers of one directory in
// PostgreSQL share a folder.
func claimFilesFolder(ctx context.Context, data, database string, d directory) (_ *ownedFolder, err error) {
	f, err := openFilesFolder(ctx, data, database, d)
	if err != nil {
		return nil, err
	}
	if err := f.claim(ctx, d); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, removeLegacyOwnerFile(data)
}

func (f *ownedFolder) claim(ctx context.Context, jobs store.Jobs) error {
	// The owner is checked first, since its error is more specific than that of a lock.
	if owner, err := f.Owner(ctx); err != nil || f.isForeign(owner) {
		return cmp.Or(err, f.foreignError())
	}
	if err := f.use(!f.shared); err != nil {
		if errors.Is(err, blob.ErrInUse) {
			return fmt.Errorf("%s is used by another server or by muster adopt: stop that process first, or give this directory a folder of its own", f.path)
		}
		return err
	}
	// From here on only servers of the same directory can change the owner.
	owner, err := f.Owner(ctx)
	if err != nil {
		return err
	}
	if owner == "" {
		if err := f.checkUnknownFiles(ctx, jobs); err != nil {
			return err
		}
	}
	if owner, err = f.Claim(ctx, f.owner); err != nil {
		return err
	}
	if f.isForeign(owner) {
		return f.foreignError()
	}
	return nil
}

// use locks the folder until it is closed. Servers on PostgreSQL may share a file system
// without locks, where the owner alone protects the folder.
func (f *ownedFolder) use(alone bool) error {
	err := f.Use(alone)
	if f.shared && errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// takeOver makes the directory the owner of the folder. It fails while a server uses the
// folder.
func (f *ownedFolder) takeOver(ctx context.Context) error {
	if err := f.use(true); err != nil {
		if errors.Is(err, blob.ErrInUse) {
			return fmt.Errorf("%s is used by a server: stop that server first, and run this command again", f.path)
		}
		return err
	}
	return f.TakeOver(ctx, f.owner)
}

// isForeign reports whether the owner is another directory.
func (f *ownedFolder) isForeign(owner string) bool { return owner != "" && owner != f.owner }

func (f *ownedFolder) foreignError() error {
	return fmt.Errorf("%s holds the export files of another directory, or of the directory that this one was copied from: %s", f.path, f.remedy())
}

// checkUnknownFiles returns an error if the folder contains files of exports that are
// unknown to the directory.
func (f *ownedFolder) checkUnknownFiles(ctx context.Context, jobs store.Jobs) error {
	n, example, err := f.unknownFiles(ctx, jobs)
	if err != nil || n == 0 {
		return err
	}
	return fmt.Errorf("%s has no owner and contains %s of exports that are unknown to this directory, such as %s: %s",
		f.path, countFiles(n), example, f.remedy())
}

// remedy ends a message about a folder that belongs to another directory.
func (f *ownedFolder) remedy() string {
	return "give this directory a folder of its own; or, if all files in it that are unknown to this directory may be deleted, run: " + f.adopt
}

// unknownFiles counts the files of exports that are unknown to the directory, and returns
// the name of one. It ignores other files, which the janitor does not delete. The files
// are listed before the exports are read, since an export is stored before its files.
func (f *ownedFolder) unknownFiles(ctx context.Context, jobs store.Jobs) (n int, example string, err error) {
	var names []string
	err = f.List(ctx, func(name string, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	if err != nil || len(names) == 0 {
		return 0, "", err
	}
	_, known, err := jobs.Objects(ctx)
	if err != nil {
		return 0, "", err
	}
	for _, name := range names {
		id, isExport := store.JobOf(name)
		if _, ok := known[id]; !ok && isExport {
			n++
			example = cmp.Or(example, name)
		}
	}
	return n, example, nil
}

// Owned returns an error if the directory is not the owner of the folder any more.
func (f *ownedFolder) Owned(ctx context.Context) error {
	owner, err := f.Owner(ctx)
	switch {
	case err != nil:
		return err
	case owner == "":
		return fmt.Errorf("%s has lost the file that names its owner: restart the server, or stop it and run: %s", f.path, f.adopt)
	case f.isForeign(owner):
		return fmt.Errorf("%s belongs to another directory since this server started: stop one of the two servers and %s", f.path, f.remedy())
	}
	return nil
}

// removeLegacyOwnerFile deletes the owner file of an older version of muster.
func removeLegacyOwnerFile(data string) error {
	if err := os.Remove(filepath.Join(data, legacyOwnerFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the owner file of an older version: %w", err)
	}
	return nil
}

// adoptCommand returns the command that makes a directory the owner of its files folder,
// for an operator to copy.
func adoptCommand(data, database string) string { return commandOn("adopt", data, database) }

// commandOn returns a command with the location of its directory, for an operator to copy.
func commandOn(name, data, database string) string {
	command := "muster " + name
	if data != "" {
		command += " --data " + oserror.Word(data)
	}
	if database != "" {
		command += " --database " + oserror.Word(withoutPassword(database))
	}
	return command
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return humanize.Int(n) + " files"
}
