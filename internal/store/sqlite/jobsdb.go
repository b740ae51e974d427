package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"muster/internal/failpoint"
	"muster/internal/store/jobsql"

	_ "modernc.org/sqlite" // registers the driver
)

//go:embed migrations/jobs/*.sql
var jobMigrations embed.FS

// jobs is the job half of a [Store]: the file jobs.db, apart from the resources
// so that a busy loader delays no heartbeat (D2).
//
// One connection writes: statements are short, and each transaction begins
// IMMEDIATE, so what it reads stays true until it writes. Commits are synced
// (synchronous=FULL): a job that was promised to a client survives a power cut.
// A few others only read, so that hundreds of polls wait for no sync.
type jobs struct {
	*jobsql.Jobs
	file    *sql.DB
	readers *sql.DB
}

// jobReaders is how many connections read: a poll is far shorter than the switch to another.
const jobReaders = 4

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
	explained := func(err error) error { return explain(filepath.Dir(absolute), err) }
	reading := url.Values{"_pragma": {"busy_timeout(10000)", "query_only(1)"}}
	readers, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: absolute, RawQuery: reading.Encode()}).String())
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the job store %s: %w", path, err)
	}
	readers.SetMaxOpenConns(jobReaders)
	readers.SetMaxIdleConns(jobReaders)
	j := &jobs{jobsql.New(db, jobsql.Dialect{Explain: explained}), db, readers}
	j.ReadFrom(readers)
	return j, nil
}

func migrateJobs(ctx context.Context, db *sql.DB) error {
	return bringUp(ctx, db, jobMigrations, "migrations/jobs", func(ctx context.Context) error { return failpoint.Inject(ctx, "jobs.migrate") })
}

// Close closes the file. The writer is the last, so it takes the log into the file.
func (j *jobs) Close() error { return errors.Join(j.readers.Close(), j.file.Close()) }
