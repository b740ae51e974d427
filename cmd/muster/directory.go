package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
)

// directory is an open directory in any database. Only this file imports both drivers.
type directory interface {
	store.Store
	store.Indexer
	store.Serving
	store.LastTimes
	// Info returns what the directory was created as.
	Info() store.Identity
	// AdoptBaseURL sets the base URL of a directory that has none yet.
	AdoptBaseURL(ctx context.Context, baseURL string) error
	// SearchLoad returns how many searches and reads of this process run and wait, by lane.
	SearchLoad() map[string]store.LaneLoad
	// Ping checks that the database answers.
	Ping(ctx context.Context) error
	// Now returns the time of the clock that all processes on the directory share.
	Now() time.Time
	// LastTime returns the last time that the clock of the directory has issued.
	LastTime(ctx context.Context) (fhir.Instant, error)
	// FilesOwner returns the id of the directory as the owner of a folder of files. No
	// other directory has the same id, not even one that was restored from a backup.
	FilesOwner(ctx context.Context) (string, error)
}

// openDirectory opens the directory in a PostgreSQL database, or the data directory if the
// URL of the database is empty.
func openDirectory(ctx context.Context, data, database string, o store.Options) (directory, error) {
	if database != "" {
		return postgres.Open(ctx, database, o)
	}
	return sqlite.Open(ctx, data, o)
}

// openDirectory opens a directory for a command, which prints which process it waits for.
func (a app) openDirectory(data, database string, o store.Options) (directory, error) {
	o.GateStalled = warnStalled(a.stderr)
	return openDirectory(a.ctx, data, database, o)
}

// logOf returns the log of the directory's database that open snapshots make grow, nil if it
// has none.
func logOf(d directory) store.WriteAheadLog {
	log, _ := d.(store.WriteAheadLog)
	return log
}

// openUnserved is openDirectory that locks the directory against servers. It fails if a server runs
// on the directory. No server can start until the lock is closed. The lock may use a connection of
// the directory, so close the lock first.
func (a app) openUnserved(data, database string, o store.Options) (directory, io.Closer, error) {
	o.GateStalled = warnStalled(a.stderr)
	if database != "" {
		return postgres.OpenUnserved(a.ctx, database, o)
	}
	return sqlite.OpenUnserved(a.ctx, data, o)
}

// warnStalled returns a function that prints which process a command waits for.
func warnStalled(w io.Writer) func(store.GateStall) {
	return func(s store.GateStall) {
		if s == (store.GateStall{}) {
			fmt.Fprintln(w, "the write gate makes progress again")
			return
		}
		fmt.Fprintln(w, "warning:", s.Text())
	}
}

// inspected is a directory that is open for inspection only.
type inspected interface {
	store.Inspector
	store.Freezer
	Info() store.Identity
	// RestoreCommand returns the shell command that restores a copy in the folder, or "" if
	// the copy is used as it is.
	RestoreCommand(folder string) string
	// Served reports whether a server runs on the directory.
	Served(ctx context.Context) (bool, error)
	// ReportStalls sets a function that is called while a backup waits for a process that
	// makes no progress.
	ReportStalls(report func(store.GateStall))
	// FilesOwner returns the id of the directory as the owner of a folder of files, "" if
	// it has none yet.
	FilesOwner(ctx context.Context) (string, error)
	Close() error
}

// inspectDirectory opens a directory for a check or a backup. It writes nothing.
func inspectDirectory(ctx context.Context, data, database string, expect store.Identity) (inspected, error) {
	if database != "" {
		return postgres.Inspect(ctx, database, expect)
	}
	return sqlite.Inspect(ctx, data, expect)
}

// withoutPassword returns the URL of a database for messages and commands to copy.
func withoutPassword(database string) string { return postgres.WithoutPassword(database) }

// requireLocation returns an error if a command line does not say where the directory is.
func requireLocation(data, database string) error {
	if data == "" && database == "" {
		return errors.New("name a data directory with --data, or a PostgreSQL database with --database")
	}
	return checkDatabase(database)
}

// checkDatabase returns an error if the URL of a database is not valid, before anything is
// created or connected to. An empty text is valid: the directory is not in PostgreSQL.
func checkDatabase(database string) error {
	if database == "" {
		return nil
	}
	if err := postgres.CheckURL(database); err != nil {
		return fmt.Errorf("--database: %w", err)
	}
	return nil
}

// lockServe locks a data directory, so that only this process serves it. On PostgreSQL several
// processes may serve. The data directory is then the shared folder of the files, and lockServe
// creates it.
func lockServe(data, database string) (io.Closer, error) {
	if database == "" {
		return sqlite.LockServe(data)
	}
	if err := refuseDirectory(data); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder for the files: %w", err)
	}
	return io.NopCloser(nil), nil
}

// refuseDirectory returns an error if a folder for the files of a directory in PostgreSQL is a
// data directory.
func refuseDirectory(data string) error {
	if sqlite.IsDirectory(data) {
		return fmt.Errorf("--data %s has a database of its own: name another folder for the files of the directory in --database, or omit --database", data)
	}
	return nil
}

// recreateJobs creates an empty job store in a data directory that has lost its own, and
// reports whether it did. If there was a job store of another directory, it returns the path
// aside to which that was renamed. In PostgreSQL, jobs cannot be lost without the directory.
func recreateJobs(ctx context.Context, data, database string) (created bool, aside string, err error) {
	if database == "" {
		return sqlite.RecreateJobs(ctx, data)
	}
	return false, "", refuseDirectory(data)
}

// filesFolder returns the folder of the export files.
func filesFolder(data string) string { return filepath.Join(data, sqlite.FilesFolder) }
