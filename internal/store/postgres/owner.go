package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// insufficientPrivilege is the state of an error about rights that are missing.
const insufficientPrivilege = "42501"

// FilesOwner is the id of this directory as the owner of its folder of files. All servers on
// the database get the same. It is made of a secret of the directory and of what tells its
// place from all others: the identity of the database server, and the numbers of database and
// schema. So a database that was restored from a dump is another owner; a physical copy of the
// whole server is not, while it keeps the identity of the server.
func (s *Store) FilesOwner(ctx context.Context) (string, error) {
	secret, err := s.Secret(ctx, "folder")
	if err != nil {
		return "", err
	}
	var place string
	err = s.gate.QueryRowContext(ctx, `SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
		(SELECT oid FROM pg_database WHERE datname = current_database()), `+thisSchema+`)`).Scan(&place)
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
