// Package metasql reads and writes table meta of a SQL database, which says what the
// directory in it is.
package metasql

import (
	"context"
	"database/sql"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// Dialect writes the placeholders ? of a statement as the database expects them.
type Dialect func(statement string) string

// Establish writes what the directory is if it is new. Otherwise it compares what is
// stored with the options.
func (d Dialect) Establish(ctx context.Context, db *sql.DB, o store.Options) (store.Identity, error) {
	found, known, err := Read(ctx, db)
	if err != nil {
		return store.Identity{}, err
	}
	info, write, err := o.ResolveIdentity(found, known)
	if err != nil || !write {
		return info, err
	}
	if err := failpoint.Inject(ctx, "directory.migrated"); err != nil {
		return info, err
	}
	if err := d.write(ctx, db, info); err != nil {
		return info, err
	}
	if o.Created != nil {
		o.Created()
	}
	return info, nil
}

// Read returns what the directory is. known is false for a directory whose
// initialisation was interrupted: the table is empty.
func Read(ctx context.Context, db sqlrows.Querier) (info store.Identity, known bool, err error) {
	err = sqlrows.Query(ctx, db, func(rows *sql.Rows) error {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		known = true
		info.SetMetaRow(key, value)
		return nil
	}, `SELECT key, value FROM meta`)
	return info, known, err
}

// write writes what the directory is, and the first rows of tables clock and sequence, in
// one transaction.
func (d Dialect) write(ctx context.Context, db *sql.DB, info store.Identity) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, row := range info.MetaRows() {
		if _, err := tx.ExecContext(ctx, d(`INSERT INTO meta (key, value) VALUES (?, ?)`), row[0], row[1]); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO clock (id, last) VALUES (1, 0)`); err != nil {
		return err
	}
	for _, t := range fhir.Types() {
		if _, err := tx.ExecContext(ctx, d(`INSERT INTO sequence (type, last) VALUES (?, 0)`), int64(t)); err != nil {
			return err
		}
	}
	return tx.Commit()
}
