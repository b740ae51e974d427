package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"muster/internal/filelock"
	"muster/internal/oserror"
	"muster/internal/regularfile"
	"muster/internal/store"
	"muster/internal/store/inspectsql"
	"muster/internal/store/jobsql"
	"muster/internal/store/metasql"
)

// Inspection is a data directory that is open for inspection only: it creates, migrates,
// locks and writes nothing, so a server may run at the same time. It implements
// store.Inspector.
type Inspection struct {
	*inspectsql.Inspection
	dir       string
	info      store.Identity
	directory *sql.DB
	jobs      *sql.DB
	stalls    store.StallReporter
}

var _ store.Inspector = (*Inspection)(nil)

// Inspect opens the data directory. Its schema must be that of this program. The non-empty
// fields of expect must match the directory.
func Inspect(ctx context.Context, dir string, expect store.Identity) (*Inspection, error) {
	i := &Inspection{dir: dir}
	err := i.open(ctx)
	if err == nil {
		err = i.info.Check(expect)
	}
	if err != nil {
		return nil, fmt.Errorf("inspect data directory %s: %w", dir, errors.Join(explain(dir, err), i.Close()))
	}
	return i, nil
}

func (i *Inspection) open(ctx context.Context) error {
	for _, file := range []struct {
		name    string
		db      **sql.DB
		version func(context.Context, *sql.DB) (current, target int64, err error)
	}{{directoryFile, &i.directory, directoryVersions}, {jobsFile, &i.jobs, jobVersions}} {
		path := filepath.Join(i.dir, file.name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if file.name == jobsFile {
				return lostJobs{dir: i.dir, how: "is missing"}
			}
			return fmt.Errorf("there is no %s in it: name a directory that 'muster load' has filled, or restore a backup", file.name)
		}
		if err := checkFiles(path); err != nil {
			return err
		}
		db, err := sql.Open("sqlite", readOnlySource(path))
		if err != nil {
			return err
		}
		*file.db = db
		db.SetMaxOpenConns(1)
		current, target, err := file.version(ctx, db)
		if err != nil {
			return err
		}
		if current != target {
			return fmt.Errorf("the schema of %s has version %d, and this program needs version %d: "+
				"use the muster that wrote it, or migrate it with this one: muster reindex --data %s", file.name, current, target, oserror.Word(i.dir))
		}
	}
	if err := i.checkPair(ctx); err != nil {
		return err
	}
	i.Inspection = inspectsql.New(i.directory, jobsql.New(i.jobs, jobsql.Dialect{}), inspectsql.Dialect{
		JSONKeys: `SELECT value FROM json_each(?)`, Explain: func(err error) error { return explain(i.dir, err) },
	})
	var known bool
	var err error
	if i.info, known, err = metasql.Read(ctx, i.directory); err == nil && !known {
		err = errors.New("its initialisation was interrupted: run 'muster load' again")
	}
	return err
}

// checkPair is [checkPair] outside the gate. A server may be writing the token to both
// databases at the same time, so it checks twice.
func (i *Inspection) checkPair(ctx context.Context) error {
	err := checkPair(ctx, i.dir)
	if errors.As(err, new(lostJobs)) {
		err = checkPair(ctx, i.dir)
	}
	return err
}

// readOnlySource returns the data source name of a database that is only read. SQLite
// creates files beside a database to read its log. A database without a log in a folder
// that is not writable, such as a backup, is opened as immutable instead.
func readOnlySource(path string) string {
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)", "cache_size(-65536)", "query_only(1)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) && !writable(filepath.Dir(path)) {
		q.Set("immutable", "1")
	}
	return fileURL(path, q)
}

// Info returns what the directory was created as.
func (i *Inspection) Info() store.Identity { return i.info }

// Close closes the databases.
func (i *Inspection) Close() error {
	var errs []error
	for _, db := range []*sql.DB{i.directory, i.jobs} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// RestoreCommand returns "": a copy is a data directory.
func (i *Inspection) RestoreCommand(string) string { return "" }

// Served reports whether a server runs on the data directory.
func (i *Inspection) Served(context.Context) (bool, error) {
	f, err := regularfile.OpenOwn(filepath.Join(i.dir, serveFile), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	free, err := filelock.Try(f, filelock.Shared)
	return !free && err == nil, err
}
