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

// migrate migrates the schema of directory.db. A schema that is newer than this program is
// an error: an older program could damage data that it does not know.
func migrate(ctx context.Context, db *sql.DB) error {
	return migrateFile(ctx, db, directoryMigrations, "migrations/directory", func(ctx context.Context) error { return failpoint.Inject(ctx, "directory.migrate") })
}

// migrateFile runs the migrations of a folder that the database does not have yet. point is
// called before the first one.
func migrateFile(ctx context.Context, db *sql.DB, source fs.FS, folder string, point func(context.Context) error) error {
	p, err := provider(source, folder, db)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its schema has version %d, and this program supports versions up to %d: use the newer muster that wrote it", current, target)
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

func provider(files fs.FS, folder string, db *sql.DB) (*goose.Provider, error) {
	sources, err := fs.Sub(files, folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, sources,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// versions returns the version of the schema of a database, which it does not change, and
// the version that this program needs.
func versions(ctx context.Context, files fs.FS, folder string, db *sql.DB) (current, target int64, err error) {
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&current); err != nil {
		return 0, 0, fmt.Errorf("read the version of its schema: %w", err)
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
