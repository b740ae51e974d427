package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"muster/internal/blob"
	"muster/internal/humanize"
	"muster/internal/oserror"
	"muster/internal/store"
)

// formerMark stood beside the folder of files of a directory in PostgreSQL and said which
// directory that was. A database that was restored from a dump had the same one, so it counts
// no more.
const formerMark = "directory.id"

// ownedFolder is the folder for the files of exports, and the directory that it belongs to. The
// janitor removes the files that no row names: those of another directory, if two were served
// on one folder.
type ownedFolder struct {
	*blob.Folder
	path   string
	owner  string // the id of the directory
	adopt  string // the command that makes the folder the directory's
	shared bool   // several servers of the directory may use it, on machines of their own
}

// filesOf opens the folder of a directory, which is made if it is not there, whosever it is.
func filesOf(ctx context.Context, data, database string, d directory) (*ownedFolder, error) {
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

// claimFolder opens the folder and marks it as the directory's. It refuses one that is marked
// as another's, one that a server of another directory uses, even of an equal copy, and one
// without a mark that holds files which the directory does not know: of an older muster, or put
// there by hand. Several servers of one directory in PostgreSQL share a folder.
func claimFolder(ctx context.Context, data, database string, d directory) (_ *ownedFolder, err error) {
	f, err := filesOf(ctx, data, database, d)
	if err != nil {
		return nil, err
	}
	if err := f.claim(ctx, d); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, dropFormerMark(data)
}

func (f *ownedFolder) claim(ctx context.Context, jobs store.Jobs) error {
	// Whose it is comes first: that says more than that somebody uses it.
	if holder, err := f.Owner(ctx); err != nil || f.isAnothers(holder) {
		return cmp.Or(err, f.anothers())
	}
	if err := f.use(!f.shared); err != nil {
		if errors.Is(err, blob.ErrInUse) {
			return fmt.Errorf("%s is used by another server, or muster adopt is at work on it: stop that one first, or give this directory a folder of its own", f.path)
		}
		return err
	}
	// Nobody else changes the mark now, but for servers of the same directory.
	holder, err := f.Owner(ctx)
	if err != nil {
		return err
	}
	if holder == "" {
		if err := f.refuseStrangers(ctx, jobs); err != nil {
			return err
		}
	}
	if holder, err = f.Claim(ctx, f.owner); err != nil {
		return err
	}
	if f.isAnothers(holder) {
		return f.anothers()
	}
	return nil
}

// use tells others that the folder is used, until it is closed. Servers on PostgreSQL may share
// a file system that knows no locks: the mark must do there.
func (f *ownedFolder) use(alone bool) error {
	err := f.Use(alone)
	if f.shared && errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// takeOver makes the folder the directory's. It is refused while any server uses the folder.
func (f *ownedFolder) takeOver(ctx context.Context) error {
	if err := f.use(true); err != nil {
		if errors.Is(err, blob.ErrInUse) {
			return fmt.Errorf("%s is used by a server: stop that server first, and run this command again", f.path)
		}
		return err
	}
	return f.TakeOver(ctx, f.owner)
}

// isAnothers reports whether a mark is that of another directory.
func (f *ownedFolder) isAnothers(holder string) bool { return holder != "" && holder != f.owner }

func (f *ownedFolder) anothers() error {
	return fmt.Errorf("%s holds the export files of another directory, or of the one that this one was copied from: %s", f.path, f.wayOut())
}

// refuseStrangers is the error about files of exports that the directory does not know.
func (f *ownedFolder) refuseStrangers(ctx context.Context, jobs store.Jobs) error {
	n, example, err := f.strangers(ctx, jobs)
	if err != nil || n == 0 {
		return err
	}
	return fmt.Errorf("%s carries no mark of the directory that it belongs to, and this directory does not know the exports of %s in it, such as %s: %s",
		f.path, countFiles(n), example, f.wayOut())
}

// wayOut ends a message about a folder that is not the directory's.
func (f *ownedFolder) wayOut() string {
	return "give this directory a folder of its own; or, if all files in it that this directory does not know may go, run: " + f.adopt
}

// strangers counts the files of exports that the directory does not know, and names one. What
// an operator has put beside them is no export, and stays. The files are listed first: a job is
// there before its files.
func (f *ownedFolder) strangers(ctx context.Context, jobs store.Jobs) (n int, example string, err error) {
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
		id, ours := store.JobOf(name)
		if _, ok := known[id]; !ok && ours {
			n++
			example = cmp.Or(example, name)
		}
	}
	return n, example, nil
}

// Owned is the error of a folder that is not the directory's any more.
func (f *ownedFolder) Owned(ctx context.Context) error {
	holder, err := f.Owner(ctx)
	switch {
	case err != nil:
		return err
	case holder == "":
		return fmt.Errorf("%s has lost the mark that says whose it is: start the server again, or stop it and run: %s", f.path, f.adopt)
	case f.isAnothers(holder):
		return fmt.Errorf("%s belongs to another directory since this server started: stop one of the two servers and %s", f.path, f.wayOut())
	}
	return nil
}

// dropFormerMark removes the mark of an older muster.
func dropFormerMark(data string) error {
	if err := os.Remove(filepath.Join(data, formerMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the mark of an older muster: %w", err)
	}
	return nil
}

// adoptCommand is the command that makes a folder a directory's, ready to be copied.
func adoptCommand(data, database string) string {
	command := "muster adopt --data " + oserror.Word(data)
	if database != "" {
		command += " --database " + oserror.Word(withoutPassword(database))
	}
	return command
}

// withoutPassword is the URL of a database as it may be shown. It can be used as it is with
// PGPASSWORD or ~/.pgpass.
func withoutPassword(database string) string {
	u, err := url.Parse(database)
	if err != nil || u.Scheme == "" {
		return "URL"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	for _, name := range []string{"password", "sslpassword"} {
		if q.Has(name) {
			q.Del(name)
			u.RawQuery = q.Encode()
		}
	}
	return u.String()
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return humanize.Int(n) + " files"
}
