package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"muster/internal/backup"
	"muster/internal/blob"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/store"
	"muster/internal/store/sqlite"
)

// backupCmd is `muster backup`.
type backupCmd struct {
	Data     string `required:"" placeholder:"DIR" help:"Data directory to copy. It may be in use by a server or a load."`
	Database string `placeholder:"URL" help:"Copy the directory in this PostgreSQL database with pg_dump; --data is then its files folder."`
	Out      string `required:"" placeholder:"DIR" help:"Folder for the copy. It must be empty or not exist."`
}

// Validate checks the URL of the database.
func (c backupCmd) Validate() error { return checkDatabase(c.Database) }

// Run makes the copy and prints what it contains. The exit code is 1 if the directory has
// lost export files: the copy lacks them too.
func (c backupCmd) Run(a app) (err error) {
	if inside, err := filepath.Rel(realPath(c.Data), realPath(c.Out)); err == nil && filepath.IsLocal(inside) {
		return fmt.Errorf("--out %s is in the data directory: name a folder outside it", c.Out)
	}
	source, err := inspectDirectory(a.ctx, c.Data, c.Database, store.Identity{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	source.ReportStalls(warnStalled(a.stderr))
	reindexing := source.Info().IsReindexing()
	if reindexing {
		fmt.Fprintln(a.stderr, "warning:", unfinishedCopy)
	}
	files := blob.ExistingFolder(filesFolder(c.Data))
	defer func() { err = errors.Join(err, files.Close()) }()
	progress := newProgress(a.stderr)
	start := time.Now()
	summary, err := backup.Run(a.ctx, backup.Config{
		Source: source, Files: files, Folder: sqlite.FilesFolder, Out: c.Out, Progress: progress.share,
	})
	progress.end()
	if err != nil {
		return err
	}
	end := time.Now()
	fmt.Fprintf(a.stdout, "the copy %s was made at %v and has the directory as of its last change at %v, with %d export files\n",
		c.Out, fhir.InstantOf(end), summary.Time, summary.Files)
	fmt.Fprintf(a.stderr, "took %s; writers waited for %s; %d files are hard links\n",
		humanize.Duration(end.Sub(start)), humanize.Duration(summary.Held), summary.Linked)
	after, err := c.record(a)
	if after.IsReindexing() && !reindexing { // it began before or after the copy
		fmt.Fprintln(a.stderr, "warning:", unfinishedCopy)
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "warning: the copy is complete, but the metric muster_last_backup_timestamp_seconds stays as it was: %v\n", err)
	}
	if restore := source.RestoreCommand(c.Out); restore != "" {
		fmt.Fprintf(a.stdout, "restore it with: %s\n", restore)
	}
	if n := len(summary.Lost); n > 0 {
		return fmt.Errorf("the directory has lost %d export files, such as %s, and the copy lacks them too: cancel their exports, which this command lists: %s", n, summary.Lost[0], commandOn("check", c.Data, c.Database))
	}
	return nil
}

// unfinishedCopy warns of a copy of a directory that is being reindexed.
const unfinishedCopy = "the directory has a reindex that is not finished, so no server can start on the copy before 'muster reindex' has finished there: better finish it here and make the backup again"

// record records the end of the backup in the directory, for the metrics of its servers. It returns
// what the directory is then.
func (c backupCmd) record(a app) (store.Identity, error) {
	directory, err := a.openDirectory(c.Data, c.Database, store.Options{})
	if err != nil {
		return store.Identity{}, err
	}
	return directory.Info(), errors.Join(directory.SetLast(a.ctx, store.BackupWork, fhir.InstantOf(directory.Now())), directory.Close())
}
