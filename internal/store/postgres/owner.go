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

// insufficientPrivilege is the state of an error about rights that are missing.
const insufficientPrivilege = "42501"

// ownerSecret is the name of the secret that is part of the id.
const ownerSecret = "folder"

// FilesOwner is the id of this directory as the owner of its folder of files. All servers on
// the database get the same. It is made of a secret of the directory and of what tells its
// place from all others: the identity of the database server, and the numbers of database,
// schema and table meta. So a database that was restored from a dump is another owner, also one
// that was restored in place; a physical copy of the whole server is not, while it keeps the
// identity of the server.
func (s *Store) FilesOwner(ctx context.Context) (string, error) {
	secret, err := s.Secret(ctx, ownerSecret)
	if err != nil {
		return "", err
	}
	return ownerOf(ctx, s.gate, secret)
}

// FilesOwner is [Store.FilesOwner] without a write: it is empty when the directory has not been
// asked for its id yet.
func (i *Inspection) FilesOwner(ctx context.Context) (string, error) {
	var text string
	err := i.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = $1`, secretKey(ownerSecret)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the id of the directory as the owner of its files: %w", explain(err))
	}
	secret, err := hex.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("read the id of the directory as the owner of its files: %w", err)
	}
	return ownerOf(ctx, i.db, secret)
}

// ownerOf makes the id of the secret and the place of a directory.
func ownerOf(ctx context.Context, db *sql.DB, secret []byte) (string, error) {
	var place string
	err := db.QueryRowContext(ctx, `SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
		(SELECT oid FROM pg_database WHERE datname = current_database()), `+thisSchema+`,
		(SELECT oid FROM pg_class WHERE relname = 'meta' AND relnamespace = `+thisSchema+`))`).Scan(&place)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return "", fmt.Errorf("read the identity of the database server: the role may not: let a superuser run, in this database, "+
			"GRANT EXECUTE ON FUNCTION pg_control_system() TO the role: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("read the identity of the database server: %w", explain(err))
	}
	sum := sha256.Sum256(fmt.Appendf(secret, "/%s", place))
	return hex.EncodeToString(sum[:16]), nil
}
