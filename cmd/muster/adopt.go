package main

import (
	"errors"
	"fmt"

	"muster/internal/store"
)

// adoptCmd is `muster adopt`.
type adoptCmd struct {
	Data     string `required:"" placeholder:"DIR" help:"Data directory whose folder of files is to be its own. It must not be served meanwhile."`
	Database string `placeholder:"URL" help:"Make the folder that of the directory in this PostgreSQL database; --data is then where the folder is."`
}

// Run makes the folder for the files of exports the directory's, whosever it was, and says what
// that means. A data directory that has lost jobs.db, or has another directory's, gets an
// empty one. No export file is removed here. It is refused while a server uses the folder.
func (c adoptCmd) Run(a app) (err error) {
	remade, aside, err := recreateJobs(a.ctx, c.Data, c.Database)
	if err != nil {
		return err
	}
	if aside != "" {
		fmt.Fprintf(a.stdout, "jobs.db belongs to another directory, or to another copy of this one, and is kept as %s\n", aside)
	}
	if remade {
		fmt.Fprintf(a.stdout, "the exports of %s were lost, and a new, empty jobs.db was made: their clients start them again\n", c.Data)
	}
	directory, lock, err := openUnserved(a.ctx, c.Data, c.Database, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close(), directory.Close()) }()
	files, err := filesOf(a.ctx, c.Data, c.Database, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	strangers, _, err := files.strangers(a.ctx, directory)
	if err != nil {
		return err
	}
	holder, err := files.Owner(a.ctx)
	if err != nil {
		return err
	}
	if err := files.takeOver(a.ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s belongs to this directory now%s\n", files.path, before(holder, files.owner))
	if strangers > 0 {
		fmt.Fprintf(a.stdout, "this directory does not know the exports of %s in it: the server removes each of them when it is an hour old\n", countFiles(strangers))
	}
	return dropFormerMark(c.Data)
}

// before says whose a folder was.
func before(holder, owner string) string {
	switch holder {
	case owner:
		return ", as before"
	case "":
		return "; it carried no mark"
	}
	return "; it carried the mark of another one, whose server must not run on it any more"
}
