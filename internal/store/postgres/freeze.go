package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/inspectsql"
)

// DumpFile is the file of a backup with the database, for pg_restore.
const DumpFile = "directory.dump"

var _ store.Freezer = (*Inspection)(nil)

// frozen implements store.Frozen with an open transaction and its exported snapshot, which
// other sessions can use. Resources and jobs are in one database, so one snapshot contains
// both, and writers do not wait.
type frozen struct {
	i        *Inspection
	conn     *sql.Conn
	tx       *sql.Tx
	time     fhir.Instant
	snapshot string
	schema   string
}

// Freeze implements store.Freezer. It requires pg_dump, which [frozen.Write] runs.
func (i *Inspection) Freeze(ctx context.Context) (store.Frozen, error) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		return nil, errors.New("pg_dump, which copies the database, is not installed: " +
			"install the client programs of PostgreSQL (Debian: postgresql-client), of the version of the server or later")
	}
	f := &frozen{i: i}
	if err := f.open(ctx); err != nil {
		return nil, fmt.Errorf("open a snapshot for the backup: %w", errors.Join(explain(err), f.Close()))
	}
	return f, nil
}

func (f *frozen) open(ctx context.Context) (err error) {
	if f.conn, err = f.i.db.Conn(ctx); err != nil {
		return err
	}
	if f.tx, err = f.conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}); err != nil {
		return err
	}
	// The session is idle while files are copied and pg_dump runs.
	if _, err := f.tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return err
	}
	return f.tx.QueryRowContext(ctx, `SELECT last, pg_export_snapshot(), quote_ident(current_schema()) FROM clock`).Scan((*int64)(&f.time), &f.snapshot, &f.schema)
}

// Time implements store.Frozen.
func (f *frozen) Time() fhir.Instant { return f.time }

// Held implements store.Frozen. Writers do not wait.
func (f *frozen) Held() time.Duration { return 0 }

// Objects implements store.Frozen.
func (f *frozen) Objects(ctx context.Context) (names []string, err error) {
	names, err = inspectsql.Objects(ctx, f.tx)
	if err != nil {
		return nil, fmt.Errorf("list the files of jobs: %w", explain(err))
	}
	return names, nil
}

// Write implements store.Frozen. pg_dump writes the snapshot to [DumpFile] in the folder. It
// reports no progress, so progress is called at the start and at the end.
func (f *frozen) Write(ctx context.Context, dir string, progress func(done, total int64)) error {
	target, password, err := forLibpq(f.i.url)
	if err != nil {
		return err
	}
	progress(0, 1)
	dump := exec.CommandContext(ctx, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--snapshot="+f.snapshot, "--schema="+f.schema,
		"--file="+filepath.Join(dir, DumpFile), "--dbname="+target)
	dump.Cancel = func() error { return dump.Process.Signal(os.Interrupt) }
	dump.WaitDelay = 10 * time.Second
	if password != "" {
		dump.Env = append(os.Environ(), "PGPASSWORD="+password) // not on the command line, which other users can see
	}
	if out, err := dump.CombinedOutput(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("run pg_dump: %w: %s", err, strings.TrimSpace(string(out)))
	}
	progress(1, 1)
	return nil
}

// FilesOwner implements store.Frozen. The owner of the files depends on the database that the
// copy is restored to.
func (f *frozen) FilesOwner() string { return "" }

// Close implements store.Frozen.
func (f *frozen) Close() error {
	if f.conn == nil {
		return nil
	}
	if f.tx != nil {
		_ = f.tx.Rollback()
	}
	return f.conn.Close()
}
