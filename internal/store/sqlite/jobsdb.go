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

// jobsDB is the database jobs.db. It is apart from the resources, so that a busy loader
// does not delay the heartbeats of jobs (D2).
//
// One connection writes: statements are short, and each transaction begins IMMEDIATE, so
// what it has read does not change before it writes. Commits are synced (synchronous=FULL):
// a job that a client knows of survives a power cut. A few connections only read,
// so that hundreds of polls do not wait for syncs.
type jobsDB struct {
	*jobsql.Jobs
	writer  *sql.DB
	readers *sql.DB
}

// jobReaders is how many connections read. A few are enough: a poll takes less time than a
// switch to another connection.
const jobReaders = 4

// openJobs opens the job store in the file at path and migrates its schema. A file of a
// newer muster is an error.
func openJobs(ctx context.Context, path string) (*jobsDB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the job store %s: %w", path, err)
	}
	options := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	}
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open the job store %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrateJobs(ctx, db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open the job store %s: %w", path, err)
	}
	explained := func(err error) error { return explain(filepath.Dir(absolute), err) }
	reading := url.Values{"_pragma": {"busy_timeout(10000)", "query_only(1)"}}
	readers, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: absolute, RawQuery: reading.Encode()}).String())
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open the job store %s: %w", path, err)
	}
	readers.SetMaxOpenConns(jobReaders)
	readers.SetMaxIdleConns(jobReaders)
	j := &jobsDB{jobsql.New(db, jobsql.Dialect{Explain: explained}), db, readers}
	j.SetReader(readers)
	return j, nil
}

func migrateJobs(ctx context.Context, db *sql.DB) error {
	return migrateFile(ctx, db, jobMigrations, "migrations/jobs", func(ctx context.Context) error { return failpoint.Inject(ctx, "jobs.migrate") })
}

// Close closes the file. It closes the writer last, which checkpoints the log.
func (j *jobsDB) Close() error { return errors.Join(j.readers.Close(), j.writer.Close()) }
