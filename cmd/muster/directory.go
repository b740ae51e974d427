package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"muster/internal/backup"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
)

// directory is an open directory, whatever its database. This file alone knows the
// drivers of both.
type directory interface {
	store.Store
	store.Indexer
	// Info is what the directory was made as.
	Info() store.CreateInfo
	// AdoptBaseURL fixes the base URL of a directory that has none yet.
	AdoptBaseURL(ctx context.Context, baseURL string) error
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Now is the clock that all processes on the directory share.
	Now() time.Time
	// FilesOwner is its id as the owner of a folder of files, which no other directory has:
	// not even one that was restored from its backup.
	FilesOwner(ctx context.Context) (string, error)
}

// openDirectory opens the directory in the PostgreSQL database with the URL, or if
// that is empty, the one in the data directory.
func openDirectory(ctx context.Context, data, database string, o store.Options) (directory, error) {
	if database != "" {
		return postgres.Open(ctx, database, o)
	}
	return sqlite.Open(ctx, data, o)
}

// inspected is a directory that was opened to be looked at, whatever its database.
type inspected interface {
	store.Inspector
	Info() store.CreateInfo
	// Served reports whether a server runs on it now.
	Served(ctx context.Context) (bool, error)
	// FilesOwner is its id as the owner of a folder of files, "" if it has none yet.
	FilesOwner(ctx context.Context) (string, error)
	Close() error
}

// inspectDirectory opens a directory for a check or a backup: nothing is written.
func inspectDirectory(ctx context.Context, data, database string, expect store.CreateInfo) (inspected, error) {
	if database != "" {
		i, err := postgres.Inspect(ctx, database, expect)
		if err != nil {
			return nil, err
		}
		return i, nil
	}
	i, err := sqlite.Inspect(ctx, data, expect)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// freezer lets an inspected directory be copied.
type freezer struct{ of inspected }

// Freeze implements backup.Source.
func (f freezer) Freeze(ctx context.Context) (backup.Frozen, error) {
	switch d := f.of.(type) {
	case *postgres.Inspection:
		return frozen(d.Freeze(ctx))
	case *sqlite.Inspection:
		return frozen(d.Freeze(ctx))
	}
	return nil, fmt.Errorf("a %T cannot be copied", f.of)
}

// frozen keeps an error from becoming a value that is not nil.
func frozen[F backup.Frozen](f F, err error) (backup.Frozen, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// requireLocation is the error of a command line that does not say where the directory is.
func requireLocation(data, database string) error {
	if data == "" && database == "" {
		return errors.New("name a data directory with --data, or a PostgreSQL database with --database")
	}
	return nil
}

// lockServe marks a data directory as served by this process alone. On PostgreSQL
// several processes may serve; the data directory then is a folder for the files, which
// they share, and is made here.
func lockServe(data, database string) (io.Closer, error) {
	if database == "" {
		return sqlite.LockServe(data)
	}
	if err := refuseDirectory(data); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("the folder for the files cannot be made: %w", err)
	}
	return io.NopCloser(nil), nil
}

// refuseDirectory refuses a data directory where a folder for the files of a directory in
// PostgreSQL is wanted.
func refuseDirectory(data string) error {
	if sqlite.IsDirectory(data) {
		return fmt.Errorf("--data %s has a database of its own: name another folder for the files of the directory in --database, or leave that out", data)
	}
	return nil
}

// remakeJobs makes an empty job store in a data directory that has lost its own, and reports
// whether it did, and where another directory's is now that was in its place. In PostgreSQL
// jobs are lost with the directory only.
func remakeJobs(ctx context.Context, data, database string) (made bool, aside string, err error) {
	if database == "" {
		return sqlite.RemakeJobs(ctx, data)
	}
	return false, "", refuseDirectory(data)
}

// mark is that of a process that serves a directory.
type mark interface {
	io.Closer
	// Watch keeps the mark in place until ctx ends. An error means that the directory must
	// not be served any longer.
	Watch(ctx context.Context) error
}

// markServed tells others on the same database that this process serves it.
func markServed(ctx context.Context, d directory) (mark, error) {
	if shared, ok := d.(*postgres.Store); ok {
		m, err := shared.MarkServed(ctx)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
	return locked{}, nil
}

// locked is the mark of a data directory, which lockServe has locked for as long as the
// process lives.
type locked struct{}

func (locked) Close() error                  { return nil }
func (locked) Watch(_ context.Context) error { return nil }

// openUnserved opens a directory for work that nobody may serve it under, and keeps
// servers away until the lock is closed; it is closed before the directory.
func openUnserved(ctx context.Context, data, database string, o store.Options) (directory, io.Closer, error) {
	if database == "" {
		lock, err := sqlite.LockServe(data)
		if err != nil {
			return nil, nil, err
		}
		d, err := sqlite.Open(ctx, data, o)
		if err != nil {
			return nil, nil, errors.Join(err, lock.Close())
		}
		return d, lock, nil
	}
	d, err := postgres.Open(ctx, database, o)
	if err != nil {
		return nil, nil, err
	}
	lock, err := d.LockUnserved(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return d, lock, nil
}

// filesFolder is where the written parts are.
func filesFolder(data string) string { return filepath.Join(data, sqlite.FilesFolder) }

// takeUp ends the claims of a server that died, if this one is alone with the
// directory and need not wait for the end of their leases. It returns how many there
// were.
func takeUp(ctx context.Context, d directory) (int64, error) {
	if alone, ok := d.(*sqlite.Store); ok {
		return alone.EndClaims(ctx)
	}
	return 0, nil
}
