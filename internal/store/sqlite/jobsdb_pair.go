package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/oserror"
)

// lostJobs is the error of a data directory without the job store that belongs to it.
type lostJobs struct {
	dir string
	how string // "is missing", …
	own bool   // there is one, but it is of another directory
}

// Error implements error.
func (l lostJobs) Error() string {
	way := "restore it from a backup together with " + directoryFile + ", or give up all of them"
	if l.own {
		way = "restore " + jobsFile + " and " + directoryFile + " from one backup, or give up what is in this " + jobsFile
	}
	return fmt.Sprintf("%s, which holds the exports and the registered clients, %s: %s and run: muster adopt --data %s", jobsFile, l.how, way, oserror.Word(l.dir))
}

// checkPair returns an error if one of the two databases is lost, before a new one is created
// in its place: with an empty job store no file would belong to a job, and old jobs would
// refer to rows of a new directory. For the same reasons it returns an error if the two
// databases do not belong together, or if directory.db has lost commits. A directory whose initialisation was interrupted is not
// an error: its jobs.db is created first and gets its tables last. The caller holds the gate.
func checkPair(ctx context.Context, dir string) error {
	// The jobs come first: a server may be drawing a time for one.
	j, err := readJobsState(ctx, filepath.Join(dir, jobsFile))
	if err != nil {
		return err
	}
	d, err := readDirectoryState(ctx, filepath.Join(dir, directoryFile))
	if err != nil {
		return err
	}
	return checkStates(dir, d, j)
}

// checkStates returns an error if one of the databases is lost, or of another directory.
func checkStates(dir string, d directoryState, j jobsState) error {
	switch {
	case d.initialised && !j.exists:
		return lostJobs{dir: dir, how: "is missing"}
	case d.owner != "" && !j.tables:
		return lostJobs{dir: dir, how: "is empty"}
	case !d.exists && j.notEmpty, !d.initialised && (j.rows || j.owner != ""):
		return fmt.Errorf("%s, which holds the resources, is missing or empty, and the exports in %s are of another directory: restore both from a backup, or name a new directory", directoryFile, jobsFile)
	case j.latest > d.clock && (d.owns(j) || d.owner == ""):
		return lostCommits(dir, d, j)
	case !d.owns(j):
		how := "belongs to another directory, or to another copy of this one"
		if d.owner == "" || j.owner == "" { // the token may have been lost
			how += ", or one of the two has lost what was committed last, such as with the file " + directoryFile + "-wal or " + jobsFile + "-wal"
		}
		return lostJobs{dir: dir, how: how, own: true}
	}
	return nil
}

// lostCommits is the error of a directory that has an export after its clock. Without its token
// directory.db may have lost that too: the jobs may be those of another directory.
func lostCommits(dir string, d directoryState, j jobsState) error {
	other := ""
	if !d.owns(j) {
		other = fmt.Sprintf(". If %[1]s is one of another directory, move it away and run: muster adopt --data %[2]s", jobsFile, oserror.Word(dir))
	}
	return damage.New(damage.Database, "%s in %s has lost what was committed last: an export in %s has the time %v, and the clock of the directory is at %v. "+
		"Check the disk; restore both from one backup, or load the data into a new directory%s", directoryFile, dir, jobsFile, j.latest, d.clock, other)
}

// directoryState is the state of directory.db.
type directoryState struct {
	exists      bool
	initialised bool   // table meta is filled
	owner       string // the token, if FilesOwner has created one
	paired      bool   // jobs.db has the token
	clock       fhir.Instant
}

// owns reports whether a job store belongs to the directory: it has the same owner token as
// directory.db. A job store that has no token yet also belongs to the directory, unless
// directory.db records that its job store has received the token.
func (d directoryState) owns(j jobsState) bool {
	return j.owner == d.owner || j.owner == "" && !d.paired
}

func readDirectoryState(ctx context.Context, path string) (d directoryState, err error) {
	db, size, err := openExisting(path)
	if d.exists = size >= 0; db == nil {
		return d, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var ours bool
	err = db.QueryRowContext(ctx, `SELECT application_id = ? AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta') FROM pragma_application_id`, applicationID).Scan(&ours)
	if err != nil || !ours {
		return d, err // checkApplication refuses the database of another program
	}
	return d, db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM meta), coalesce((SELECT value FROM meta WHERE key = ?), ''), EXISTS (SELECT 1 FROM meta WHERE key = ?), coalesce((SELECT last FROM clock), 0)`,
		ownerKey, pairedKey).Scan(&d.initialised, &d.owner, &d.paired, &d.clock)
}

// jobsState is the state of jobs.db.
type jobsState struct {
	exists, notEmpty, tables, rows bool
	owner                          string       // the token of its directory
	latest                         fhir.Instant // transaction time of a job, or of what one held; it is drawn before the job has it
}

func readJobsState(ctx context.Context, path string) (j jobsState, err error) {
	db, size, err := openExisting(path)
	if j.exists, j.notEmpty = size >= 0, size > 0; db == nil {
		return j, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var meta, members bool // the tables exist from versions 2 and 8 on
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'job'), EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta'),
		EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'members')`).Scan(&j.tables, &meta, &members); err != nil || !j.tables {
		return j, err
	}
	if meta {
		if j.owner, err = metaValue(ctx, db, ownerKey); err != nil {
			return j, err
		}
	}
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM job), coalesce((SELECT max(time) FROM job), 0)`).Scan(&j.rows, &j.latest); err != nil || !members {
		return j, err
	}
	var held fhir.Instant
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(time), 0) FROM members`).Scan(&held)
	j.latest = max(j.latest, held)
	return j, err
}

// openExisting opens a database for reading and returns its size, -1 if it does not exist.
// The database is nil if the file is missing or empty.
func openExisting(path string) (*sql.DB, int64, error) {
	if err := checkFiles(path); err != nil {
		return nil, 0, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, -1, nil
	}
	if err != nil || info.Size() == 0 {
		return nil, 0, err
	}
	db, err := sql.Open("sqlite", readOnlySource(path))
	if err != nil {
		return nil, info.Size(), err
	}
	db.SetMaxOpenConns(1)
	return db, info.Size(), nil
}

// RecreateJobs creates an empty job store in a data directory that has lost its own, and
// reports whether it did. All exports of the directory are lost then. If there is a job store
// of another directory, RecreateJobs renames it to the path aside. It does not change a job
// store that belongs to the directory. It returns an error while a server runs.
func RecreateJobs(ctx context.Context, dir string) (created bool, aside string, err error) {
	created, aside, err = recreateJobs(ctx, dir)
	if err != nil {
		return created, aside, fmt.Errorf("check the exports of data directory %s: %w", dir, explain(dir, err))
	}
	return created, aside, nil
}

func recreateJobs(ctx context.Context, dir string) (created bool, aside string, err error) {
	if err := prepareFolder(dir, false); err != nil {
		return false, "", err
	}
	lock, err := LockServe(dir)
	if err != nil {
		return false, "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	release, err := gate{dir: dir}.acquire(ctx)
	if err != nil {
		return false, "", err
	}
	defer release()
	var lost lostJobs
	if err := checkPair(ctx, dir); !errors.As(err, &lost) {
		return false, "", err
	}
	if lost.own {
		if aside, err = moveAside(ctx, filepath.Join(dir, jobsFile)); err != nil {
			return false, "", err
		}
	}
	return true, aside, createJobs(ctx, dir)
}

// createJobs creates an empty job store with the token of the directory, if it has one.
func createJobs(ctx context.Context, dir string) error {
	path := filepath.Join(dir, jobsFile)
	if err := createPrivate(path); err != nil {
		return err
	}
	jobs, err := openJobs(ctx, path)
	if err != nil {
		return err
	}
	d, err := readDirectoryState(ctx, filepath.Join(dir, directoryFile))
	if err == nil && d.owner != "" {
		_, err = jobs.writer.ExecContext(ctx, setMeta, ownerKey, d.owner)
	}
	return errors.Join(err, jobs.Close())
}

// moveAside renames the job store of another directory and returns the new path. It
// checkpoints the log first.
func moveAside(ctx context.Context, path string) (aside string, err error) {
	db, err := sql.Open("sqlite", fileURL(path, url.Values{"_pragma": {"busy_timeout(10000)"}}))
	if err != nil {
		return "", err
	}
	_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err := errors.Join(err, db.Close()); err != nil {
		return "", err
	}
	aside = path + ".foreign-" + time.Now().UTC().Format("20060102T150405.000")
	for _, ending := range []string{"", "-wal", "-shm", "-synced"} {
		if err := os.Rename(path+ending, aside+ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, nil
}
