package main

import (
	"errors"
	"fmt"

	"muster/internal/store"
)

// adoptCmd is `muster adopt`.
type adoptCmd struct {
	Data     string `required:"" placeholder:"DIR" help:"Data directory whose files folder to adopt. It must not be served meanwhile."`
	Database string `placeholder:"URL" help:"PostgreSQL database of the directory that adopts the files folder in --data."`
}

// Validate checks the URL of the database.
func (c adoptCmd) Validate() error { return checkDatabase(c.Database) }

// Run makes the directory the owner of its folder of export files, whichever directory owned
// the folder before. If jobs.db is missing in the data directory, Run creates an empty one. If
// jobs.db belongs to another directory, Run renames it and creates an empty one. Run deletes
// no export file. It fails while a server uses the folder.
func (c adoptCmd) Run(a app) (err error) {
	remade, aside, err := recreateJobs(a.ctx, c.Data, c.Database)
	if err != nil {
		return err
	}
	if aside != "" {
		fmt.Fprintf(a.stdout, "jobs.db belongs to another directory, or to another copy of this one, and is kept as %s\n", aside)
	}
	if remade {
		fmt.Fprintf(a.stdout, "the exports and the registered clients of %s are lost: a new, empty jobs.db was made: clients must start their exports again, and those of the token endpoint must be registered again\n", c.Data)
	}
	directory, lock, err := a.openUnserved(c.Data, c.Database, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close(), directory.Close()) }()
	files, err := openFilesFolder(a.ctx, c.Data, c.Database, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	unknown, _, err := files.unknownFiles(a.ctx, directory)
	if err != nil {
		return err
	}
	owner, err := files.Owner(a.ctx)
	if err != nil {
		return err
	}
	if err := files.takeOver(a.ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s belongs to this directory now%s\n", files.path, formerOwner(owner, files.owner))
	if unknown > 0 {
		fmt.Fprintf(a.stdout, "the exports of %s in it are unknown to this directory: the server deletes such files when they are an hour old\n", countFiles(unknown))
	}
	return removeLegacyOwnerFile(c.Data)
}

// formerOwner describes the owner of a folder before this directory adopted it.
func formerOwner(before, now string) string {
	switch before {
	case now:
		return ", as before"
	case "":
		return "; it had no owner"
	}
	return "; it belonged to another directory, whose server must not use it any more"
}
