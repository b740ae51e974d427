package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"muster/internal/failpoint"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/directory/*.sql
var directoryMigrations embed.FS

// migrate brings the schema of directory.db up to date. A schema that is newer
// than this program is an error: an older program could break what it does not
// know.
func migrate(ctx context.Context, db *sql.DB) error {
	return bringUp(ctx, db, directoryMigrations, "migrations/directory", func(ctx context.Context) error { return failpoint.Inject(ctx, "directory.migrate") })
}

// bringUp runs the migrations in a folder that a database has not seen. point is called
// before the first.
func bringUp(ctx context.Context, db *sql.DB, source embed.FS, folder string, point func(context.Context) error) error {
	p, err := provider(source, folder, db)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its schema has version %d, and this program knows up to %d: use the newer muster that wrote it", current, target)
	}
	if current == target {
		return nil
	}
	if err := point(ctx); err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func provider(files embed.FS, folder string, db *sql.DB) (*goose.Provider, error) {
	sources, err := fs.Sub(files, folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, sources,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// versions returns the version that the tables of a database have, without
// changing it, and the one that this program knows.
func versions(ctx context.Context, files embed.FS, folder string, db *sql.DB) (current, target int64, err error) {
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&current); err != nil {
		return 0, 0, fmt.Errorf("the version of its tables cannot be read: %w", err)
	}
	p, err := provider(files, folder, db)
	if err != nil {
		return 0, 0, err
	}
	for _, source := range p.ListSources() {
		target = max(target, source.Version)
	}
	return current, target, nil
}

func directoryVersions(ctx context.Context, db *sql.DB) (current, target int64, err error) {
	return versions(ctx, directoryMigrations, "migrations/directory", db)
}

func jobVersions(ctx context.Context, db *sql.DB) (current, target int64, err error) {
	return versions(ctx, jobMigrations, "migrations/jobs", db)
}
