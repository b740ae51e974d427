package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"muster/internal/trouble"
)

// lostJobs is the error of a data directory without the job store that belongs to it.
type lostJobs struct {
	dir string
	how string // how it is lost
}

// Error implements error.
func (l lostJobs) Error() string {
	return fmt.Sprintf("%s, which holds the exports, %s: restore it from a backup together with %s, or give up all exports and run: muster adopt --data %s",
		jobsFile, l.how, directoryFile, trouble.Word(l.dir))
}

// checkPair refuses a data directory one of whose databases is lost, before anything is made
// in its place: with an empty job store all files would be nobody's, and old jobs would name rows
// of a new directory. A directory whose first making was interrupted is no such thing: its jobs.db
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
	switch {
	case d.established && !j.there:
		return lostJobs{dir, "is missing"}
	case d.drawn && !j.tables:
		return lostJobs{dir, "is empty"}
	case !d.there && j.bytes, !d.established && j.rows:
		return fmt.Errorf("%s, which holds the resources, is missing or empty, and the exports in %s are of another directory: restore both from a backup, or name a new directory", directoryFile, jobsFile)
	}
	return nil
}

// directoryLook is what directory.db holds.
type directoryLook struct {
	there       bool
	established bool // it says what the directory is
	drawn       bool // it has been asked whose the files are, so it had a job store
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
	return look, db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM meta), EXISTS (SELECT 1 FROM meta WHERE key = ?)`, ownerKey).Scan(&look.established, &look.drawn)
}

// jobsLook is what jobs.db holds.
type jobsLook struct{ there, bytes, tables, rows bool }

func lookAtJobs(ctx context.Context, path string) (look jobsLook, err error) {
	db, size, err := openLook(path)
	if look.there, look.bytes = size >= 0, size > 0; db == nil {
		return look, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'job')`).Scan(&look.tables); err != nil || !look.tables {
		return look, err
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
// whether it did. All exports are lost then. One that is there stays as it is. It is refused
// while the directory is served.
func RemakeJobs(ctx context.Context, dir string) (made bool, err error) {
	made, err = remakeJobs(ctx, dir)
	if err != nil {
		return made, fmt.Errorf("look for the exports of data directory %s: %w", dir, explain(dir, err))
	}
	return made, nil
}

func remakeJobs(ctx context.Context, dir string) (made bool, err error) {
	if err := prepareFolder(dir, false); err != nil {
		return false, err
	}
	lock, err := LockServe(dir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	leave, err := gate{dir: dir}.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	var lost lostJobs
	if err := checkPair(ctx, dir); !errors.As(err, &lost) {
		return false, err
	}
	path := filepath.Join(dir, jobsFile)
	keepPrivate(path)
	jobs, err := openJobs(ctx, path)
	if err != nil {
		return false, err
	}
	return true, jobs.Close()
}
