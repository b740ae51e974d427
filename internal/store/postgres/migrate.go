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

// The tables with the schema versions of resources and jobs. checkDatabase recognises a
// database of muster by them.
const (
	directoryVersion = "muster_directory_version"
	jobsVersion      = "muster_jobs_version"
)

// firstTables are the tables that the first migrations of the two parts create.
var firstTables = map[string]string{directoryVersion: "meta", jobsVersion: "job"}

// migrate migrates the schemas of resources and jobs.
func migrate(ctx context.Context, db *sql.DB) error {
	point := func(ctx context.Context) error { return failpoint.Inject(ctx, "directory.migrate") }
	if err := migratePart(ctx, db, "directory", directoryVersion, point); err != nil {
		return err
	}
	point = func(ctx context.Context) error { return failpoint.Inject(ctx, "jobs.migrate") }
	return migratePart(ctx, db, "jobs", jobsVersion, point)
}

// migratePart migrates the schema of one part, directory or jobs. A schema that is newer than
// this program is an error: an older program could damage data that it does not know.
func migratePart(ctx context.Context, db *sql.DB, part, table string, point func(context.Context) error) error {
	if err := checkVersionTable(ctx, db, table, firstTables[table]); err != nil {
		return err
	}
	p, err := provider(db, part, table)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its schema of %s has version %d, and this program supports versions up to %d: use the newer muster that wrote it", part, current, target)
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

func provider(db *sql.DB, part, table string) (*goose.Provider, error) {
	sources, err := fs.Sub(migrations, "migrations/"+part)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, sources, goose.WithTableName(table),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// checkVersion returns an error if the schema of one part is not that of this program. It
// changes nothing.
func checkVersion(ctx context.Context, db *sql.DB, part, table string) error {
	if err := checkVersionTable(ctx, db, table, firstTables[table]); err != nil {
		return err
	}
	var current, target int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+table).Scan(&current); err != nil {
		return fmt.Errorf("it does not hold a directory: read the version of its schema of %s: %w", part, err)
	}
	p, err := provider(db, part, table)
	if err != nil {
		return err
	}
	for _, source := range p.ListSources() {
		target = max(target, source.Version)
	}
	if current != target {
		return fmt.Errorf("its schema of %s has version %d, and this program needs version %d: "+
			"use the muster that wrote it, or migrate it with 'muster reindex' of this one", part, current, target)
	}
	return nil
}
