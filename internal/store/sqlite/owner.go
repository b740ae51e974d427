package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
)

// ownerKey is the row of table meta that holds the id which the folder of the files carries
// too. A random one: it says which copy of a directory this is.
const ownerKey = "files_owner"

// FilesOwner is the id of this data directory as the owner of its folder of files. It is drawn
// at the first call and stays when the directory is moved; a copy that 'muster backup' makes has
// another.
func (s *Store) FilesOwner(ctx context.Context) (string, error) {
	id, err := s.secret(ctx, ownerKey)
	if err != nil {
		return "", fmt.Errorf("read the id of the directory as the owner of its files: %w", explain(s.dir, err))
	}
	return hex.EncodeToString(id), nil
}

// drawOwner gives the copy of directory.db at path an id of its own as the owner of files, and
// returns it. Nobody else has the copy open.
func drawOwner(ctx context.Context, path string) (owner string, err error) {
	db, err := sql.Open("sqlite", fileURL(path, url.Values{"_pragma": {"synchronous(OFF)"}})) // the caller syncs
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	owner = hex.EncodeToString(id)
	_, err = db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, ownerKey, owner)
	return owner, err
}
