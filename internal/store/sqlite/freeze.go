package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"muster/internal/fhir"
	"muster/internal/store/inspectsql"

	"modernc.org/sqlite"
)

// Frozen is both databases of a directory at one moment, each held by an open read
// transaction. While it is open, the write-ahead logs only grow. Not safe for use by
// several goroutines.
type Frozen struct {
	dir             string
	directory, jobs *sql.Conn
	time            fhir.Instant
	held            time.Duration
	owner           string // of the copy, as [Frozen.FilesOwner] tells
}

// Freeze opens a snapshot of both databases inside the gate: no batch is half done,
// no transaction time is being drawn and no old version dropped, so every job of the
// one snapshot finds what it needs in the other. Writers wait as long as two reads
// take.
func (i *Inspection) Freeze(ctx context.Context) (_ *Frozen, err error) {
	f := &Frozen{dir: i.dir}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open a snapshot for the backup: %w", errors.Join(explain(i.dir, err), f.Close()))
		}
	}()
	// Connections come first: nobody waits for one inside the gate.
	if f.directory, err = i.directory.Conn(ctx); err != nil {
		return nil, err
	}
	if f.jobs, err = i.jobs.Conn(ctx); err != nil {
		return nil, err
	}
	for _, c := range []*sql.Conn{f.directory, f.jobs} {
		if _, err := c.ExecContext(ctx, `BEGIN`); err != nil {
			return nil, err
		}
	}
	leave, err := gate{dir: i.dir}.enter(ctx)
	if err != nil {
		return nil, err
	}
	entered := time.Now()
	defer func() {
		leave()
		f.held = time.Since(entered)
	}()
	// BEGIN fixes nothing yet; the first read does.
	if err := f.directory.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&f.time); err != nil {
		return nil, err
	}
	var jobs int
	if err := f.jobs.QueryRowContext(ctx, `SELECT count(*) FROM job`).Scan(&jobs); err != nil {
		return nil, err
	}
	return f, nil
}

// Time is the last moment that was given out.
func (f *Frozen) Time() fhir.Instant { return f.time }

// Held is how long writers waited.
func (f *Frozen) Held() time.Duration { return f.held }

// Objects returns the names of the files that belong to jobs.
func (f *Frozen) Objects(ctx context.Context) (names []string, err error) {
	names, err = inspectsql.Objects(ctx, f.jobs)
	if err != nil {
		return nil, fmt.Errorf("list the files of jobs: %w", explain(f.dir, err))
	}
	return names, nil
}

// Write copies both databases into a folder, page by page. The copy is an owner of files of
// its own.
func (f *Frozen) Write(ctx context.Context, dir string, progress func(done, total int64)) error {
	for _, file := range []struct {
		name string
		conn *sql.Conn
	}{{jobsFile, f.jobs}, {directoryFile, f.directory}} {
		if err := copyPages(ctx, file.conn, filepath.Join(dir, file.name), progress); err != nil {
			return fmt.Errorf("copy %s: %w", file.name, explain(dir, err))
		}
	}
	owner, err := drawOwner(ctx, dir)
	if err != nil {
		return fmt.Errorf("make the copy an owner of files: %w", explain(dir, err))
	}
	f.owner = owner
	return nil
}

// FilesOwner is the id of the copy as the owner of its folder of files, once it is written.
func (f *Frozen) FilesOwner() string { return f.owner }

// pagesPerStep is how many pages are copied between two looks at the context.
const pagesPerStep = 2000

// copyPages copies the database that a connection sees. Its read transaction is open,
// so the copy is of its moment, whatever is written meanwhile.
func copyPages(ctx context.Context, from *sql.Conn, path string, progress func(done, total int64)) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return from.Raw(func(c any) error {
		source, ok := c.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the database driver %T cannot copy", c)
		}
		// A copy that breaks off is thrown away, and a finished one is synced by the
		// caller: no journal and no sync before.
		b, err := source.NewBackup(fileURL(path, url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}}))
		if err != nil {
			return err
		}
		for more := true; more; {
			if more, err = b.Step(pagesPerStep); err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return errors.Join(err, b.Finish())
			}
			progress(int64(b.PageCount()-b.Remaining()), int64(b.PageCount()))
		}
		return finish(b)
	})
}

func finish(b *sqlite.Backup) error {
	var target driver.Conn
	target, err := b.Commit()
	if err != nil {
		return err
	}
	return target.Close()
}

// Close ends the read transactions.
func (f *Frozen) Close() error {
	var errs []error
	for _, c := range []*sql.Conn{f.directory, f.jobs} {
		if c == nil {
			continue
		}
		if _, err := c.ExecContext(context.Background(), `ROLLBACK`); err != nil {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // nobody gets it with an open transaction
		}
		if err := c.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
