package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/metasql"
)

// applicationID marks directory.db in the header of the file: "mstr".
const applicationID = 0x6d737472

// meta is the dialect of table meta: SQLite takes ? as it is.
var meta = metasql.Dialect(func(statement string) string { return statement })

// checkApplication refuses a database of another program before it adds a table to it.
func checkApplication(ctx context.Context, db *sql.DB) error {
	var id, tables int
	row := db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)`)
	if err := row.Scan(&id, &tables); err != nil {
		return err
	}
	if id == applicationID {
		return nil
	}
	if tables > 0 {
		return fmt.Errorf("%s was not written by muster: name another directory", directoryFile)
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	return err
}

// AdoptBaseURL sets the base URL of a directory that has none yet. It is called when every
// other step of a start has succeeded, so that a wrong URL is not stored by a start that
// fails. It returns an error if the directory has another base URL.
func (s *Store) AdoptBaseURL(ctx context.Context, baseURL string) error {
	if err := s.info.Check(store.Identity{BaseURL: baseURL}); err != nil || s.info.BaseURL != "" {
		return err
	}
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.writer.db.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'base_url'`, baseURL); err != nil {
		return fmt.Errorf("store the base URL: %w", explain(s.dir, err))
	}
	s.info.BaseURL = baseURL
	return s.useRules()
}

const setMeta = `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`

// rowQuerier is a database or a transaction.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// metaValue returns a value of table meta, empty if there is none.
func metaValue(ctx context.Context, q rowQuerier, key string) (value string, err error) {
	err = q.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}
