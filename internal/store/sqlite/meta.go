package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// applicationID marks directory.db in the header of the file: "mstr".
const applicationID = 0x6d737472

// CreateInfo says what a data directory is for.
type CreateInfo = store.Identity

// checkApplication refuses a database that something else has written, before a
// table is added to it.
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

// establish writes what the directory is, if it is new, or compares it with what
// the caller wants.
func establish(ctx context.Context, db *sql.DB, o Options) (CreateInfo, error) {
	found, known, err := readMeta(ctx, db)
	if err != nil {
		return CreateInfo{}, err
	}
	info, write, err := o.ResolveIdentity(found, known)
	if err != nil || !write {
		return info, err
	}
	if err := failpoint.Inject(ctx, "directory.migrated"); err != nil {
		return info, err
	}
	return info, writeMeta(ctx, db, info)
}

// AdoptBaseURL fixes the base URL of a directory that has none yet. It is called
// when everything else about a start has succeeded, so that a mistyped URL that
// was refused leaves nothing behind. Another URL than the directory's is an error.
func (s *Store) AdoptBaseURL(ctx context.Context, baseURL string) error {
	if err := s.info.Check(CreateInfo{BaseURL: baseURL}); err != nil || s.info.BaseURL != "" {
		return err
	}
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.writer.db.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'base_url'`, baseURL); err != nil {
		return fmt.Errorf("note the base URL: %w", explain(s.dir, err))
	}
	s.info.BaseURL = baseURL
	return nil
}

func readMeta(ctx context.Context, db *sql.DB) (info CreateInfo, known bool, err error) {
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
		info.SetMetaRow(key, value)
	}
	return info, known, rows.Err()
}

func writeMeta(ctx context.Context, db *sql.DB, info CreateInfo) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, row := range info.MetaRows() {
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)`, row[0], row[1]); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO clock (id, last) VALUES (1, 0)`); err != nil {
		return err
	}
	for _, t := range fhir.Types() {
		if _, err := tx.ExecContext(ctx, `INSERT INTO sequence (type, last) VALUES (?, 0)`, t); err != nil {
			return err
		}
	}
	return tx.Commit()
}
