package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/metasql"
	"muster/internal/store/placeholder"

	"github.com/jackc/pgx/v5"
)

// oldestVersion is the first version of PostgreSQL with COMPRESSION lz4.
const oldestVersion = 140000

// meta is the dialect of table meta.
var meta = metasql.Dialect(placeholder.Number)

// prepare checks that the database holds a directory or can hold one, and creates or migrates
// its tables. It holds a lock, so that only one process does. The lock is a session lock,
// since the work takes several transactions.
func (s *Store) prepare(ctx context.Context, o store.Options) error {
	conn, err := s.gate.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(`+migrateLock+`)`); err != nil {
		return err
	}
	defer func() { // also after ctx has ended: the session returns to the pool
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(`+migrateLock+`)`)
	}()
	if err := checkDatabase(ctx, conn, o.Create != nil); err != nil {
		return err
	}
	if err := migrate(ctx, s.gate); err != nil {
		return err
	}
	if err := checkComplete(ctx, s.gate); err != nil {
		return err
	}
	if s.info, err = meta.Establish(ctx, s.gate, o); err != nil {
		return err
	}
	if err := s.useRules(); err != nil {
		return err
	}
	return s.noteRestore(ctx)
}

// thisSchema is the oid of the schema of the tables. It is always the first one of
// search_path, since the locks contain its name.
const thisSchema = `(SELECT oid FROM pg_namespace WHERE nspname = current_schema())`

// checkDatabase returns an error if the database cannot hold a directory, or holds tables of
// another program, before a table is added to it.
func checkDatabase(ctx context.Context, conn *sql.Conn, create bool) error {
	var version int
	var encoding, versionText, schema string
	var ours bool
	var foreign sql.NullString
	err := conn.QueryRowContext(ctx, `WITH here AS (SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace = `+thisSchema+`)
		SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding'), coalesce(current_schema(), ''),
		EXISTS (SELECT 1 FROM here WHERE relname IN ($1, $2)), (SELECT min(relname) FROM here)`, directoryVersion, jobsVersion).Scan(&version, &versionText, &encoding, &schema, &ours, &foreign)
	switch {
	case err != nil:
		return err
	case version < oldestVersion:
		return fmt.Errorf("its server is PostgreSQL %s: use version 14 or later", versionText)
	case encoding != "UTF8":
		return fmt.Errorf("its encoding is %s: create a database with createdb --encoding=UTF8 --template=template0", encoding)
	case schema == "":
		return errors.New("it has no schema for the tables: check search_path, or create the schema public")
	case ours:
		return nil
	case foreign.Valid:
		return fmt.Errorf("it holds tables of another program, such as %s: name an empty or a new database", foreign.String)
	case !create:
		return errors.New("it does not hold a directory: name a database that 'muster load --database' has filled")
	}
	return nil
}

// AdoptBaseURL sets the base URL of a directory that has none yet. It is called when every
// other step of a start has succeeded, so that a wrong URL is not stored by a start that
// fails. It returns an error if the directory has another base URL, also if another process
// has just set it.
func (s *Store) AdoptBaseURL(ctx context.Context, baseURL string) error {
	if err := s.info.Check(store.Identity{BaseURL: baseURL}); err != nil || s.info.BaseURL != "" {
		return err
	}
	var adopted string
	err := s.gate.QueryRowContext(ctx, `UPDATE meta SET value = CASE value WHEN '' THEN $1 ELSE value END
		WHERE key = 'base_url' RETURNING value`, baseURL).Scan(&adopted)
	if err != nil {
		return fmt.Errorf("store the base URL: %w", explain(err))
	}
	s.info.BaseURL = adopted
	if err := s.info.Check(store.Identity{BaseURL: baseURL}); err != nil {
		return err
	}
	return s.useRules()
}

// readIdentity returns what the directory is now, in the transaction of a connection.
func readIdentity(ctx context.Context, conn *pgx.Conn) (id store.Identity, err error) {
	rows, err := conn.Query(ctx, `SELECT key, value FROM meta`)
	if err != nil {
		return id, err
	}
	var key, value string
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		id.SetMetaRow(key, value)
		return nil
	})
	return id, err
}

const setMeta = `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`

// rowQuerier is a connection or a pool.
type rowQuerier interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// metaValue returns a value of table meta, empty if there is none.
func metaValue(ctx context.Context, q rowQuerier, key string) (value string, err error) {
	err = q.QueryRow(ctx, `SELECT value FROM meta WHERE key = $1`, key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return value, err
}
