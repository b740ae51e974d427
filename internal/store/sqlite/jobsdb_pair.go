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

	"muster/internal/oserror"
)

// lostJobs is the error of a data directory without the job store that belongs to it.
type lostJobs struct {
	dir string
	how string // how it is lost
	own bool   // there is one, of another directory
}

// Error implements error.
func (l lostJobs) Error() string {
	way := "restore it from a backup together with " + directoryFile + ", or give up all exports"
	if l.own {
		way = "restore " + jobsFile + " and " + directoryFile + " from one backup, or give up the exports in this " + jobsFile
	}
	return fmt.Sprintf("%s, which holds the exports, %s: %s and run: muster adopt --data %s", jobsFile, l.how, way, oserror.Word(l.dir))
}

// checkPair refuses a data directory one of whose databases is lost, before anything is made
// in its place: with an empty job store all files would be nobody's, and old jobs would name rows
// of a new directory. It refuses two databases that do not belong together for the same reasons.
// A directory whose first making was interrupted is no such thing: its jobs.db
// is made first and gets its tables last. The caller is inside the gate.
func checkPair(ctx context.Context, dir string) error {
	d, err := lookAtDirectory(ctx, filepath.Join(dir, directoryFile))
	if err != nil {
		return err
	}
	j, err := lookAtJobs(ctx, filepath.Join(dir, jobsFile))
	if err != nil {
		return err
	}
	return judgePair(dir, d, j)
}

// judgePair is the error about two databases of which one is lost, or another directory's.
func judgePair(dir string, d directoryLook, j jobsLook) error {
	switch {
	case d.established && !j.there:
		return lostJobs{dir: dir, how: "is missing"}
	case d.owner != "" && !j.tables:
		return lostJobs{dir: dir, how: "is empty"}
	case !d.there && j.bytes, !d.established && (j.rows || j.owner != ""):
		return fmt.Errorf("%s, which holds the resources, is missing or empty, and the exports in %s are of another directory: restore both from a backup, or name a new directory", directoryFile, jobsFile)
	case !d.owns(j):
		return lostJobs{dir: dir, how: "belongs to another directory, or to another copy of this one", own: true}
	}
	return nil
}

// directoryLook is what directory.db holds.
type directoryLook struct {
	there       bool
	established bool   // it says what the directory is
	owner       string // its token; one was drawn if it has been asked whose the files are
	paired      bool   // jobs.db got the token
}

// owns reports whether a job store belongs to the directory. One without a token does, as long
// as nobody has noted that it got one.
func (d directoryLook) owns(j jobsLook) bool {
	return j.owner == d.owner || j.owner == "" && !d.paired
}

func lookAtDirectory(ctx context.Context, path string) (look directoryLook, err error) {
	db, size, err := openLook(path)
	if look.there = size >= 0; db == nil {
		return look, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var ours bool
	err = db.QueryRowContext(ctx, `SELECT application_id = ? AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta') FROM pragma_application_id`, applicationID).Scan(&ours)
	if err != nil || !ours {
		return look, err // another program's is refused elsewhere
	}
	return look, db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM meta), coalesce((SELECT value FROM meta WHERE key = ?), ''), EXISTS (SELECT 1 FROM meta WHERE key = ?)`,
		ownerKey, pairedKey).Scan(&look.established, &look.owner, &look.paired)
}

// jobsLook is what jobs.db holds.
type jobsLook struct {
	there, bytes, tables, rows bool
	owner                      string // the token of its directory
}

func lookAtJobs(ctx context.Context, path string) (look jobsLook, err error) {
	db, size, err := openLook(path)
	if look.there, look.bytes = size >= 0, size > 0; db == nil {
		return look, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var facts bool // there are none before version 2
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'job'), EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')`).Scan(&look.tables, &facts); err != nil || !look.tables {
		return look, err
	}
	if facts {
		if look.owner, err = fact(ctx, db, ownerKey); err != nil {
			return look, err
		}
	}
	return look, db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM job)`).Scan(&look.rows)
}

// openLook opens a database that is only looked at, and returns its size: -1 when it is not
// there. The database is nil then, and when it is empty.
func openLook(path string) (*sql.DB, int64, error) {
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

// RemakeJobs makes an empty job store in a data directory that has lost its own, and reports
// whether it did. All exports are lost then. One that belongs to another directory is moved
// aside, and aside is its path then. One that is the directory's stays as it is. It is refused
// while the directory is served.
func RemakeJobs(ctx context.Context, dir string) (made bool, aside string, err error) {
	made, aside, err = remakeJobs(ctx, dir)
	if err != nil {
		return made, aside, fmt.Errorf("look for the exports of data directory %s: %w", dir, explain(dir, err))
	}
	return made, aside, nil
}

func remakeJobs(ctx context.Context, dir string) (made bool, aside string, err error) {
	if err := prepareFolder(dir, false); err != nil {
		return false, "", err
	}
	lock, err := LockServe(dir)
	if err != nil {
		return false, "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	leave, err := gate{dir: dir}.enter(ctx)
	if err != nil {
		return false, "", err
	}
	defer leave()
	var lost lostJobs
	if err := checkPair(ctx, dir); !errors.As(err, &lost) {
		return false, "", err
	}
	if lost.own {
		if aside, err = moveAside(ctx, filepath.Join(dir, jobsFile)); err != nil {
			return false, "", err
		}
	}
	return true, aside, makeJobs(ctx, dir)
}

// makeJobs makes an empty job store with the token of the directory, if that has one.
func makeJobs(ctx context.Context, dir string) error {
	path := filepath.Join(dir, jobsFile)
	keepPrivate(path)
	jobs, err := openJobs(ctx, path)
	if err != nil {
		return err
	}
	d, err := lookAtDirectory(ctx, filepath.Join(dir, directoryFile))
	if err == nil && d.owner != "" {
		_, err = jobs.file.ExecContext(ctx, writeFact, ownerKey, d.owner)
	}
	return errors.Join(err, jobs.Close())
}

// moveAside gives the job store of another directory another name, and returns that. What its
// log holds is written into the file before.
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
	for _, ending := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+ending, aside+ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, nil
}
