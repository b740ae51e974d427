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
	location, err := locationOf(ctx, db)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(secret, "/%s", location))
	return hex.EncodeToString(sum[:16]), nil
}

// placeOfTables selects the oids of database, schema and table meta.
const placeOfTables = `concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()), ` + thisSchema + `,
	(SELECT oid FROM pg_class WHERE relname = 'meta' AND relnamespace = ` + thisSchema + `))`

// locationOf returns where the tables of a directory are. A dump that was restored is elsewhere,
// even if it was restored in place.
func locationOf(ctx context.Context, db *sql.DB) (location string, err error) {
	err = db.QueryRowContext(ctx, `SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), `+placeOfTables+`)`).Scan(&location)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return "", fmt.Errorf("read the system identifier of the database server: the role lacks the privilege: let a superuser run, in this database, "+
			"GRANT EXECUTE ON FUNCTION pg_control_system() TO the role: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("read the system identifier of the database server: %w", explain(err))
	}
	return location, nil
}

// locationKey is the row of table meta with the location of the tables when the directory was last
// opened.
const locationKey = "location"

// noteRestore records that the directory was restored from a dump, if its tables are not where they
// were. A role without the privilege to read the system identifier does not see that they are in
// another database server. A move that lost nothing is recorded too, which does no harm: no time
// was issued between the last one before it and the first one after it.
func (s *Store) noteRestore(ctx context.Context) error {
	here, err := locationOf(ctx, s.gate)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		err = s.gate.QueryRowContext(ctx, `SELECT `+placeOfTables).Scan(&here)
	}
	if err != nil {
		return err
	}
	known, err := metaValue(ctx, s.reads, locationKey)
	if err != nil || known == here {
		return err
	}
	gate, err := s.acquireGate(ctx)
	if err != nil {
		return err
	}
	defer gate.release()
	if known != "" {
		if _, err := gate.tx.ExecContext(ctx, `INSERT INTO restored (taken) SELECT last FROM clock ON CONFLICT DO NOTHING`); err != nil {
			return err
		}
	}
	if _, err := gate.tx.ExecContext(ctx, setMeta, locationKey, here); err != nil {
		return err
	}
	return gate.tx.Commit()
}
