package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// insufficientPrivilege is the SQLSTATE of an error about missing privileges.
const insufficientPrivilege = "42501"

// ownerSecret is the name of the secret that is part of the id.
const ownerSecret = "folder"

// FilesOwner returns the id of this directory as the owner of its folder of files. It is the
// same for all servers on the database. It is a hash of a secret of the directory and of its
// location: the system identifier of the database server, and the oids of database, schema
// and table meta. So a database that was restored from a dump is another owner, even if it was
// restored in place. A physical copy of the whole server is the same owner, as long as it
// keeps the system identifier.
func (s *Store) FilesOwner(ctx context.Context) (string, error) {
	secret, err := s.Secret(ctx, ownerSecret)
	if err != nil {
		return "", err
	}
	return ownerOf(ctx, s.gate, secret)
}

// FilesOwner returns the same id as [Store.FilesOwner], or "" if there is none yet. It does
// not create one.
func (i *Inspection) FilesOwner(ctx context.Context) (string, error) {
	var text string
	err := i.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = $1`, secretKey(ownerSecret)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the owner id of the directory: %w", explain(err))
	}
	secret, err := hex.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("read the owner id of the directory: %w", err)
	}
	return ownerOf(ctx, i.db, secret)
}

// ownerOf returns the id for the secret and the location of a directory.
func ownerOf(ctx context.Context, db *sql.DB, secret []byte) (string, error) {
	var location string
	err := db.QueryRowContext(ctx, `SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
		(SELECT oid FROM pg_database WHERE datname = current_database()), `+thisSchema+`,
		(SELECT oid FROM pg_class WHERE relname = 'meta' AND relnamespace = `+thisSchema+`))`).Scan(&location)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return "", fmt.Errorf("read the system identifier of the database server: the role lacks the privilege: let a superuser run, in this database, "+
			"GRANT EXECUTE ON FUNCTION pg_control_system() TO the role: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("read the system identifier of the database server: %w", explain(err))
	}
	sum := sha256.Sum256(fmt.Appendf(secret, "/%s", location))
	return hex.EncodeToString(sum[:16]), nil
}
