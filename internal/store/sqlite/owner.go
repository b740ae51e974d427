package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
)

// ownerKey is the row of table meta, in both databases, that holds the token of the
// directory. The folder of the files is marked with it too. The token is random: it
// distinguishes a directory from its copies, and shows that the two databases belong together.
const ownerKey = "files_owner"

// pairedKey is the row of table meta in directory.db which records that jobs.db has the
// token. It is missing if the program died between the two writes, or if the token was
// written by a development build.
const pairedKey = "files_paired"

// FilesOwner returns the id of this data directory as the owner of its folder of files. The
// first call creates it. It does not change when the directory is moved. A copy that 'muster
// backup' makes has another id.
func (s *Store) FilesOwner(ctx context.Context) (string, error) {
	id, err := s.filesOwner(ctx)
	if err != nil {
		return "", fmt.Errorf("read the owner id of the directory: %w", explain(s.dir, err))
	}
	return id, nil
}

func (s *Store) filesOwner(ctx context.Context) (string, error) {
	id, err := s.secret(ctx, ownerKey)
	if err != nil {
		return "", err
	}
	owner := hex.EncodeToString(id)
	paired, err := metaValue(ctx, s.reads, pairedKey)
	if err != nil || paired != "" {
		return owner, err
	}
	return owner, s.pair(ctx, owner)
}

// pair writes the token to jobs.db and then records that in directory.db. Each file is
// synced before the next one is written.
func (s *Store) pair(ctx context.Context, owner string) error {
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.jobsDB.writer.ExecContext(ctx, setMeta, ownerKey, owner); err != nil {
		return err
	}
	_, err = s.writer.db.ExecContext(ctx, setMeta, pairedKey, "1")
	return err
}

// FilesOwner returns the same id as [Store.FilesOwner], or "" if there is none yet. It does
// not create one.
func (i *Inspection) FilesOwner(ctx context.Context) (string, error) {
	owner, err := metaValue(ctx, i.directory, ownerKey)
	if err != nil {
		return "", fmt.Errorf("read the owner id of the directory: %w", explain(i.dir, err))
	}
	return owner, nil
}

// createOwner writes a new token to the copy of a directory in dir, and returns it. No other
// process has the copy open, and the caller syncs it.
func createOwner(ctx context.Context, dir string) (owner string, err error) {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	owner = hex.EncodeToString(id)
	if err := setMetaIn(ctx, filepath.Join(dir, jobsFile), ownerKey, owner); err != nil {
		return "", err
	}
	return owner, setMetaIn(ctx, filepath.Join(dir, directoryFile), ownerKey, owner, pairedKey, "1")
}

// setMetaIn writes rows of table meta, each a key and a value, to the copy of a database at path.
func setMetaIn(ctx context.Context, path string, pairs ...string) error {
	return inCopy(path, func(db *sql.DB) error {
		for n := 0; n < len(pairs); n += 2 {
			if _, err := db.ExecContext(ctx, setMeta, pairs[n], pairs[n+1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// recordBackup records in the copy of directory.db at path that it is a backup, and of when. A
// copy of a backup that was never used is of the same time.
func recordBackup(ctx context.Context, path string) error {
	return inCopy(path, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, `INSERT INTO restored (taken) SELECT last FROM clock WHERE true ON CONFLICT DO NOTHING`)
		return err
	})
}

// inCopy opens the copy of a database, which its caller syncs.
func inCopy(path string, write func(*sql.DB) error) (err error) {
	db, err := sql.Open("sqlite", fileURL(path, url.Values{"_pragma": {"synchronous(OFF)"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	return write(db)
}
