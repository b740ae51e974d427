package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// oldest is the first version of PostgreSQL that has COMPRESSION lz4.
const oldest = 140000

// prepare checks that the database is one of muster's, or may become one, and makes
// or migrates its tables. Only one process at a time is here; the lock is that of a
// session, since making tables takes several transactions.
func (s *Store) prepare(ctx context.Context, o store.Options) error {
	conn, err := s.gate.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(`+makeLock+`)`); err != nil {
		return err
	}
	defer func() { // also after ctx has ended: the session goes back into the pool
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(`+makeLock+`)`)
	}()
	if err := checkDatabase(ctx, conn, o.Create != nil); err != nil {
		return err
	}
	if err := migrate(ctx, s.gate); err != nil {
		return err
	}
	s.info, err = establish(ctx, s.gate, o)
	return err
}

// thisSchema is the oid of the schema that holds the tables: the first one of search_path, and
// no other, since the locks are named by it.
const thisSchema = `(SELECT oid FROM pg_namespace WHERE nspname = current_schema())`

// checkDatabase refuses a database that cannot hold a directory, or that something
// else has filled, before a table is added to it.
func checkDatabase(ctx context.Context, conn *sql.Conn, create bool) error {
	var version int
	var encoding, versionText, schema string
	var ours bool
	var foreign sql.NullString
	err := conn.QueryRowContext(ctx, `WITH here AS (SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace = `+thisSchema+`)
		SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding'), coalesce(current_schema(), ''),
		EXISTS (SELECT 1 FROM here WHERE relname = $1), (SELECT min(relname) FROM here)`, directoryVersion).Scan(&version, &versionText, &encoding, &schema, &ours, &foreign)
	switch {
	case err != nil:
		return err
	case version < oldest:
		return fmt.Errorf("its server is PostgreSQL %s: version 14 or later is needed", versionText)
	case encoding != "UTF8":
		return fmt.Errorf("its encoding is %s: make a database with createdb --encoding=UTF8 --template=template0", encoding)
	case schema == "":
		return errors.New("it has no schema to make tables in: check search_path, or create the schema public")
	case ours:
		return nil
	case foreign.Valid:
		return fmt.Errorf("it holds tables of another program, such as %s: name an empty or a new database", foreign.String)
	case !create:
		return errors.New("it holds no directory: name a database that 'muster load --database' has filled")
	}
	return nil
}

// establish writes what the directory is, if it is new, or compares it with what
// the caller wants.
func establish(ctx context.Context, db *sql.DB, o store.Options) (store.CreateInfo, error) {
	found, known, err := readMeta(ctx, db)
	if err != nil {
		return store.CreateInfo{}, err
	}
	info, write, err := o.Establish(found, known)
	if err != nil || !write {
		return info, err
	}
	if err := failpoint.Inject(ctx, "directory.migrated"); err != nil {
		return info, err
	}
	return info, writeMeta(ctx, db, info)
}

func readMeta(ctx context.Context, db *sql.DB) (info store.CreateInfo, known bool, err error) {
	rows, err := db.QueryContext(ctx, `SELECT key, value FROM meta`)
	if err != nil {
		return info, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return info, false, err
		}
		known = true
		info.SetMeta(key, value)
	}
	return info, known, rows.Err()
}

func writeMeta(ctx context.Context, db *sql.DB, info store.CreateInfo) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, row := range info.Meta() {
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2)`, row[0], row[1]); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO clock (id, last) VALUES (1, 0)`); err != nil {
		return err
	}
	for _, t := range fhir.Types() {
		if _, err := tx.ExecContext(ctx, `INSERT INTO sequence (type, last) VALUES ($1, 0)`, int64(t)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// AdoptBaseURL fixes the base URL of a directory that has none yet. It is called
// when everything else about a start has succeeded, so that a mistyped URL that
// was refused leaves nothing behind. Another URL than the directory's is an error,
// also when another process has just fixed that.
func (s *Store) AdoptBaseURL(ctx context.Context, baseURL string) error {
	if err := s.info.Check(store.CreateInfo{BaseURL: baseURL}); err != nil || s.info.BaseURL != "" {
		return err
	}
	var adopted string
	err := s.gate.QueryRowContext(ctx, `UPDATE meta SET value = CASE value WHEN '' THEN $1 ELSE value END
		WHERE key = 'base_url' RETURNING value`, baseURL).Scan(&adopted)
	if err != nil {
		return fmt.Errorf("note the base URL: %w", explain(err))
	}
	s.info.BaseURL = adopted
	return s.info.Check(store.CreateInfo{BaseURL: baseURL})
}
