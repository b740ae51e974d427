package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/internal/fhir"
	"muster/internal/store/inspectsql"
)

// DumpFile is the file of a backup that holds the database, for pg_restore.
const DumpFile = "directory.dump"

// Frozen is the database at one moment: an open transaction that other sessions can
// see the same of. Resources and jobs are of one database, so one snapshot holds both,
// and nobody waits. Not safe for use by several goroutines.
type Frozen struct {
	i        *Inspection
	conn     *sql.Conn
	tx       *sql.Tx
	time     fhir.Instant
	snapshot string
	schema   string
}

// Freeze opens a snapshot. It needs pg_dump, since that will write it.
func (i *Inspection) Freeze(ctx context.Context) (_ *Frozen, err error) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		return nil, errors.New("pg_dump is not installed here, which writes the database into the copy: " +
			"install the client programs of PostgreSQL (Debian: postgresql-client), of the version of the server or later")
	}
	f := &Frozen{i: i}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open a snapshot for the backup: %w", errors.Join(explain(err), f.Close()))
		}
	}()
	if f.conn, err = i.db.Conn(ctx); err != nil {
		return nil, err
	}
	if f.tx, err = f.conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}); err != nil {
		return nil, err
	}
	// It is idle while files are copied and pg_dump works.
	if _, err := f.tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return nil, err
	}
	return f, f.tx.QueryRowContext(ctx, `SELECT last, pg_export_snapshot(), quote_ident(current_schema()) FROM clock`).Scan((*int64)(&f.time), &f.snapshot, &f.schema)
}

// Time is the last moment that was given out.
func (f *Frozen) Time() fhir.Instant { return f.time }

// Held is how long writers waited: not at all.
func (f *Frozen) Held() time.Duration { return 0 }

// Objects returns the names of the files that belong to jobs.
func (f *Frozen) Objects(ctx context.Context) (names []string, err error) {
	names, err = inspectsql.Objects(ctx, f.tx)
	if err != nil {
		return nil, fmt.Errorf("list the files of jobs: %w", explain(err))
	}
	return names, nil
}

// Write lets pg_dump write what the snapshot sees into [DumpFile] in the folder. How
// far it is cannot be told, so progress is called at its start and its end.
func (f *Frozen) Write(ctx context.Context, dir string, progress func(done, total int64)) error {
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
		dump.Env = append(os.Environ(), "PGPASSWORD="+password) // never on a command line, where others see it
	}
	if out, err := dump.CombinedOutput(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("pg_dump could not write the database: %w: %s", err, strings.TrimSpace(string(out)))
	}
	progress(1, 1)
	return nil
}

// FilesOwner is empty: whose the files of the copy are says the database that it is restored
// into.
func (f *Frozen) FilesOwner() string { return "" }

// libpqOptions are the options of a URL that the programs of PostgreSQL understand too
// and that say how to connect.
var libpqOptions = []string{"host", "port", "connect_timeout", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslsni",
	"channel_binding", "target_session_attrs", "passfile", "service", "servicefile", "krbsrvname"}

// forLibpq turns the URL into one that the programs of PostgreSQL understand: without
// the password, and without settings of sessions and pools.
func forLibpq(text string) (target, password string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return "", "", errors.New("write the database as postgres://USER:PASSWORD@HOST:PORT/DATABASE for a backup")
	}
	password, _ = u.User.Password()
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	for name := range q {
		if !slices.Contains(libpqOptions, name) {
			q.Del(name)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), password, nil
}

// Close ends the snapshot.
func (f *Frozen) Close() error {
	if f.conn == nil {
		return nil
	}
	if f.tx != nil {
		_ = f.tx.Rollback()
	}
	return f.conn.Close()
}
