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
// One transaction writes at a time: statements are short, and each transaction begins IMMEDIATE, so
// what it has read does not change before it writes. Commits of one connection are synced
// (synchronous=FULL): a job that a client knows of survives a power cut. Those of another are not
// (synchronous=NORMAL); what they write to the log is synced with the next commit that is, before
// it. A few connections only read, so that hundreds of polls do not wait for syncs.
type jobsDB struct {
	*jobsql.Jobs
	writer  *sql.DB
	relaxed *sql.DB
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
	j := &jobsDB{}
	connect := func(most int, pragmas ...string) (*sql.DB, error) {
		options := url.Values{"_pragma": append(pragmas, "busy_timeout(10000)", "foreign_keys(1)")}
		if most == 1 { // it writes
			options.Set("_txlock", "immediate")
		}
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: absolute, RawQuery: options.Encode()}).String())
		if err == nil {
			db.SetMaxOpenConns(most)
			db.SetMaxIdleConns(most)
		}
		return db, err
	}
	j.writer, err = connect(1, "journal_mode(WAL)", "synchronous(FULL)")
	if err == nil {
		err = migrateJobs(ctx, j.writer)
	}
	if err == nil {
		j.relaxed, err = connect(1, "synchronous(NORMAL)")
	}
	if err == nil {
		j.readers, err = connect(jobReaders, "query_only(1)")
	}
	if err != nil {
		_ = j.Close()
		return nil, fmt.Errorf("open the job store %s: %w", path, err)
	}
	j.Jobs = jobsql.New(j.writer, jobsql.Dialect{Explain: func(err error) error { return explain(filepath.Dir(absolute), err) }})
	j.SetRelaxed(j.relaxed)
	j.SetReader(j.readers)
	return j, nil
}

func migrateJobs(ctx context.Context, db *sql.DB) error {
	return migrateFile(ctx, db, jobMigrations, "migrations/jobs", func(ctx context.Context) error { return failpoint.Inject(ctx, "jobs.migrate") })
}

// Close closes the file. It closes the writer last, which checkpoints the log.
func (j *jobsDB) Close() error {
	var errs []error
	for _, db := range []*sql.DB{j.readers, j.relaxed, j.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
