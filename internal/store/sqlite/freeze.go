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

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/inspectsql"
	"muster/internal/store/sqlite/pagesum"

	"modernc.org/sqlite"
)

var _ store.Freezer = (*Inspection)(nil)

// frozen implements store.Frozen with an open read transaction on each database. While it
// is open, the write-ahead logs only grow.
type frozen struct {
	dir             string
	directory, jobs *sql.Conn
	time            fhir.Instant
	held            time.Duration
	owner           string // of the copy, once it is written
}

// Freeze implements store.Freezer. It opens both snapshots inside the gate, where no
// transaction is half done, no transaction time is being drawn and no old version is being
// deleted. So the snapshot of directory.db has every version that the jobs of the other
// snapshot need. Writers wait for the duration of two reads.
func (i *Inspection) Freeze(ctx context.Context) (store.Frozen, error) {
	f := &frozen{dir: i.dir}
	if err := f.open(ctx, i); err != nil {
		return nil, fmt.Errorf("open a snapshot for the backup: %w", errors.Join(explain(i.dir, err), f.Close()))
	}
	return f, nil
}

func (f *frozen) open(ctx context.Context, i *Inspection) (err error) {
	// Get the connections before the gate, so that the gate is not held while waiting for one.
	if f.directory, err = i.directory.Conn(ctx); err != nil {
		return err
	}
	if f.jobs, err = i.jobs.Conn(ctx); err != nil {
		return err
	}
	for _, c := range []*sql.Conn{f.directory, f.jobs} {
		if _, err := c.ExecContext(ctx, `BEGIN`); err != nil {
			return err
		}
	}
	release, err := gate{dir: i.dir, stalls: &i.stalls}.acquire(ctx)
	if err != nil {
		return err
	}
	acquired := time.Now()
	defer func() {
		release()
		f.held = time.Since(acquired)
	}()
	// BEGIN does not fix what the transaction sees; its first read does.
	if err := f.directory.QueryRowContext(ctx, `SELECT last FROM clock`).Scan(&f.time); err != nil {
		return err
	}
	var jobs int
	return f.jobs.QueryRowContext(ctx, `SELECT count(*) FROM job`).Scan(&jobs)
}

// Time implements store.Frozen.
func (f *frozen) Time() fhir.Instant { return f.time }

// Held implements store.Frozen.
func (f *frozen) Held() time.Duration { return f.held }

// Objects implements store.Frozen.
func (f *frozen) Objects(ctx context.Context) (names []string, err error) {
	names, err = inspectsql.Objects(ctx, f.jobs)
	if err != nil {
		return nil, fmt.Errorf("list the files of jobs: %w", explain(f.dir, err))
	}
	return names, nil
}

// Write implements store.Frozen. It copies both databases page by page. The copy gets an
// owner id of its own, and the time of the backup.
func (f *frozen) Write(ctx context.Context, dir string, progress func(done, total int64)) error {
	for _, file := range []struct {
		name string
		conn *sql.Conn
	}{{jobsFile, f.jobs}, {directoryFile, f.directory}} {
		if err := copyPages(ctx, file.conn, filepath.Join(dir, file.name), progress); err != nil {
			return fmt.Errorf("copy %s: %w", file.name, f.explainCopy(dir, err))
		}
	}
	if err := recordBackup(ctx, filepath.Join(dir, directoryFile)); err != nil {
		return fmt.Errorf("write the time of the backup: %w", explain(dir, err))
	}
	owner, err := createOwner(ctx, dir)
	if err != nil {
		return fmt.Errorf("write the owner id of the copy: %w", explain(dir, err))
	}
	f.owner = owner
	return nil
}

// explainCopy explains an error of a copy in dir. Damage is of what is read, and other errors are
// of what is written.
func (f *frozen) explainCopy(dir string, err error) error {
	if of := explain(f.dir, err); errors.As(of, new(*damage.Error)) {
		return of
	}
	return explain(dir, err)
}

// FilesOwner implements store.Frozen.
func (f *frozen) FilesOwner() string { return f.owner }

// pagesPerStep is how many pages are copied between two checks of the context.
const pagesPerStep = 2000

// copyPages copies the database of a connection with an open read transaction. The copy has
// the state that the transaction sees, whatever is written in the meantime.
func copyPages(ctx context.Context, from *sql.Conn, path string, progress func(done, total int64)) error {
	var empty []byte
	if off, err := withoutPageSums(ctx, from); err != nil {
		return err
	} else if !off {
		empty = pagesum.EmptyPage()
	}
	if err := os.WriteFile(path, empty, 0o600); err != nil {
		return err
	}
	return from.Raw(func(c any) error {
		source, ok := c.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the database driver %T cannot copy", c)
		}
		// An interrupted copy is deleted, and the caller syncs a complete one, so the copy
		// needs no journal and no sync.
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
		target, err := b.Commit()
		if err != nil {
			return err
		}
		return target.Close()
	})
}

// Close ends the read transactions.
func (f *frozen) Close() error {
	var errs []error
	for _, c := range []*sql.Conn{f.directory, f.jobs} {
		if c == nil {
			continue
		}
		if _, err := c.ExecContext(context.Background(), `ROLLBACK`); err != nil {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // the pool must not reuse an open transaction
		}
		if err := c.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
