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

// ownerKey is the row of table meta, in both databases, that holds the token of the directory:
// the id which the folder of the files carries too. A random one: it says which copy of a
// directory this is, and that the two databases belong together.
const ownerKey = "files_owner"

// pairedKey is the row of table meta in directory.db which says that jobs.db has the token.
// A token without it was drawn, and the program died or was a development build.
const pairedKey = "files_paired"

const writeFact = `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`

// FilesOwner is the id of this data directory as the owner of its folder of files. It is drawn
// at the first call and stays when the directory is moved; a copy that 'muster backup' makes has
// another.
func (s *Store) FilesOwner(ctx context.Context) (string, error) {
	id, err := s.filesOwner(ctx)
	if err != nil {
		return "", fmt.Errorf("read the id of the directory as the owner of its files: %w", explain(s.dir, err))
	}
	return id, nil
}

func (s *Store) filesOwner(ctx context.Context) (string, error) {
	id, err := s.secret(ctx, ownerKey)
	if err != nil {
		return "", err
	}
	owner := hex.EncodeToString(id)
	paired, err := fact(ctx, s.readers, pairedKey)
	if err != nil || paired != "" {
		return owner, err
	}
	return owner, s.pair(ctx, owner)
}

// pair writes the token into jobs.db and then notes that it stands there. Each file is synced
// before the next is written.
func (s *Store) pair(ctx context.Context, owner string) error {
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.ExecContext(ctx, writeFact, ownerKey, owner); err != nil {
		return err
	}
	_, err = s.writer.db.ExecContext(ctx, writeFact, pairedKey, "1")
	return err
}

// fact returns a row of table meta of a database, which may be read in a transaction; "" if
// it is not there.
func fact(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, key string) (value string, err error) {
	err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// FilesOwner is [Store.FilesOwner] without a write: it is empty when no token was drawn yet.
func (i *Inspection) FilesOwner(ctx context.Context) (string, error) {
	owner, err := fact(ctx, i.directory, ownerKey)
	if err != nil {
		return "", fmt.Errorf("read the id of the directory as the owner of its files: %w", explain(i.dir, err))
	}
	return owner, nil
}

// drawOwner gives the copy of a directory in dir a token of its own, and returns it. Nobody
// else has the copy open, and the caller syncs it.
func drawOwner(ctx context.Context, dir string) (owner string, err error) {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	owner = hex.EncodeToString(id)
	if err := writeFacts(ctx, filepath.Join(dir, jobsFile), ownerKey, owner); err != nil {
		return "", err
	}
	return owner, writeFacts(ctx, filepath.Join(dir, directoryFile), ownerKey, owner, pairedKey, "1")
}

// writeFacts writes rows of table meta, each a key and a value, into the database at path.
func writeFacts(ctx context.Context, path string, facts ...string) (err error) {
	db, err := sql.Open("sqlite", fileURL(path, url.Values{"_pragma": {"synchronous(OFF)"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for n := 0; n < len(facts); n += 2 {
		if _, err := db.ExecContext(ctx, writeFact, facts[n], facts[n+1]); err != nil {
			return err
		}
	}
	return nil
}
