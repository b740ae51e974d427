package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"muster/internal/fault"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/directory/*.sql
var directoryMigrations embed.FS

// migrate brings the schema of directory.db up to date. A schema that is newer
// than this program is an error: an older program could break what it does not
// know.
func migrate(ctx context.Context, db *sql.DB) error {
	sources, err := fs.Sub(directoryMigrations, "migrations/directory")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sources,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
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
	if err := fault.Point(ctx, "directory.migrate"); err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}
