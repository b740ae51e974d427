package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"

	"muster/internal/fault"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver
)

//go:embed migrations/jobs/*.sql
var jobMigrations embed.FS

// jobs is the job half of a [Store]: the file jobs.db, apart from the resources
// so that a busy loader delays no heartbeat (D2). It implements [store.Jobs].
//
// One connection serves all: statements are short, and each transaction begins
// IMMEDIATE, so what it reads stays true until it writes. Commits are synced
// (synchronous=FULL): a job that was promised to a client survives a power cut.
type jobs struct {
	jobs *sql.DB
}

// openJobs opens the job store in the file at path and brings its tables up to
// date. A file of a newer muster is an error.
func openJobs(ctx context.Context, path string) (*jobs, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the job store %s: %w", path, err)
	}
	options := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	}
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening the job store %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrateJobs(ctx, db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the job store %s: %w", path, err)
	}
	return &jobs{jobs: db}, nil
}

func migrateJobs(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(jobMigrations, "migrations/jobs")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its tables have version %d and this muster knows %d: use the newer muster that wrote it", current, target)
	}
	if current == target {
		return nil
	}
	if err := fault.Point(ctx, "jobs.migrate"); err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// Close closes the file.
func (j *jobs) Close() error { return j.jobs.Close() }

// liveTimes returns the transaction times of the jobs that still read old
// versions: those that are selecting or writing. Writers keep for them what they
// supersede (D3).
func (j *jobs) liveTimes(ctx context.Context) ([]fhir.Moment, error) {
	rows, err := j.jobs.QueryContext(ctx, `SELECT time FROM job WHERE state IN (?, ?) AND time > 0 ORDER BY time`, store.Selecting, store.Writing)
	if err != nil {
		return nil, fmt.Errorf("reading the times of live jobs: %w", err)
	}
	times, err := collect(rows, func(rows *sql.Rows) (t fhir.Moment, err error) { return t, rows.Scan(&t) })
	if err != nil {
		return nil, fmt.Errorf("reading the times of live jobs: %w", err)
	}
	return times, nil
}

// change runs one transaction. An error of f rolls everything back.
func (j *jobs) change(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := j.jobs.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := fault.Point(ctx, "jobs.commit"); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return fault.Point(ctx, "jobs.committed")
}

// ignoreDone drops the error of rolling back what a cancelled context has rolled
// back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
