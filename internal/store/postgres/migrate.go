package postgres

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"muster/internal/failpoint"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// The tables in which the versions of the two halves stand. They tell a database of
// muster from others.
const (
	directoryVersion = "muster_directory_version"
	jobsVersion      = "muster_jobs_version"
)

// migrate brings the tables of both halves up to date.
func migrate(ctx context.Context, db *sql.DB) error {
	point := func(ctx context.Context) error { return failpoint.Inject(ctx, "directory.migrate") }
	if err := migrateHalf(ctx, db, "directory", directoryVersion, point); err != nil {
		return err
	}
	point = func(ctx context.Context) error { return failpoint.Inject(ctx, "jobs.migrate") }
	return migrateHalf(ctx, db, "jobs", jobsVersion, point)
}

// migrateHalf brings one half up to date. A schema that is newer than this program
// is an error: an older program could break what it does not know.
func migrateHalf(ctx context.Context, db *sql.DB, half, table string, point func(context.Context) error) error {
	p, err := provider(db, half, table)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its schema of %s has version %d, and this program knows up to %d: use the newer muster that wrote it", half, current, target)
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

func provider(db *sql.DB, half, table string) (*goose.Provider, error) {
	sources, err := fs.Sub(migrations, "migrations/"+half)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, sources, goose.WithTableName(table),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// checkVersion wants the tables of one half to be those of this program, and changes
// nothing.
func checkVersion(ctx context.Context, db *sql.DB, half, table string) error {
	var current, target int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+table).Scan(&current); err != nil {
		return fmt.Errorf("the version of its %s cannot be read, so it holds no directory: %w", half, err)
	}
	p, err := provider(db, half, table)
	if err != nil {
		return err
	}
	for _, source := range p.ListSources() {
		target = max(target, source.Version)
	}
	if current != target {
		return fmt.Errorf("its schema of %s has version %d, and this program knows version %d: "+
			"use the muster that wrote it, or run 'muster reindex' of this one, which brings it up to date", half, current, target)
	}
	return nil
}
