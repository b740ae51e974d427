package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"muster/internal/store"
	"muster/internal/store/searchsql"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Files of a data directory, beside the locks. The folder of the blobs is
// [FilesFolder].
const (
	directoryFile = "directory.db"
	jobsFile      = "jobs.db"

	// FilesFolder is the folder in the data directory for the written parts.
	FilesFolder = "files"
)

// Options are the settings of [Open].
type Options = store.Options

// Store is an open data directory. It implements store.Store. Safe for use by
// several goroutines.
type Store struct {
	*jobs

	dir            string
	now            func() time.Time
	deadline       time.Duration
	searchDeadline time.Duration
	info           CreateInfo
	gate           gate
	readers        *sql.DB // query only
	counts         searchsql.Counts

	mu     sync.Mutex // of writer; taken inside the gate
	writer *writer
}

var _ store.Store = (*Store)(nil)

// Open opens the data directory, making it first if o.Create says so, and brings
// its schema up to date.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	s, err := open(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, explain(dir, err))
	}
	return s, nil
}

func open(ctx context.Context, dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, now: o.Now, gate: gate{dir, o.GateWaited}}
	if s.now == nil {
		s.now = time.Now
	}
	s.deadline = cmp.Or(o.Deadline, store.DefaultDeadline)
	s.searchDeadline = cmp.Or(o.SearchDeadline, store.DefaultSearchDeadline)
	if err := prepareFolder(dir, o.Create != nil); err != nil {
		return nil, err
	}
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := s.openFiles(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepareFolder makes the folder, or checks that it is a data directory.
func prepareFolder(dir string, create bool) error {
	_, err := os.Stat(filepath.Join(dir, directoryFile))
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !create {
		return fmt.Errorf("it is not a data directory: there is no %s in it. Name a directory that 'muster load' has filled", directoryFile)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	others, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range others {
		if !ours(f.Name()) {
			return fmt.Errorf("it holds other files, such as %s: name an empty or a new directory", f.Name())
		}
	}
	return nil
}

// ours reports whether a file may stand in a directory that is being made.
func ours(name string) bool {
	switch name {
	case turnstileFile, gateFile, serveFile, FilesFolder:
		return true
	}
	return strings.HasPrefix(name, directoryFile) || strings.HasPrefix(name, jobsFile)
}

// openFiles opens the databases. The caller is inside the gate, so two processes
// do not make or migrate one directory at once.
func (s *Store) openFiles(ctx context.Context, o Options) error {
	if err := checkPair(ctx, s.dir); err != nil {
		return err
	}
	keepPrivate(filepath.Join(s.dir, directoryFile))
	keepPrivate(filepath.Join(s.dir, jobsFile))
	db, err := sql.Open("sqlite", dataSource(filepath.Join(s.dir, directoryFile), false))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	s.writer = &writer{db: db, now: s.now, info: &s.info}
	if err := checkApplication(ctx, db); err != nil {
		return err
	}
	if err := migrate(ctx, db); err != nil {
		return err
	}
	if s.info, err = establish(ctx, db, o); err != nil {
		return err
	}
	if err := s.writer.prepare(ctx); err != nil {
		return err
	}
	if s.readers, err = sql.Open("sqlite", dataSource(filepath.Join(s.dir, directoryFile), true)); err != nil {
		return err
	}
	readers := max(8, 2*runtime.GOMAXPROCS(0))
	s.readers.SetMaxOpenConns(readers)
	s.readers.SetMaxIdleConns(readers)
	if s.jobs, err = openJobs(ctx, filepath.Join(s.dir, jobsFile)); err != nil {
		return err
	}
	s.writer.liveTimes = s.LiveTimes
	return nil
}

// keepPrivate makes a database file that is not there yet, empty, as one that only its owner
// may read. SQLite would let everybody, and gives its other files the rights of this one. When
// it cannot be made, opening it tells why.
func keepPrivate(path string) {
	if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		_ = f.Close()
	}
}

// dataSource names a database with the settings of a writer or a reader.
func dataSource(path string, reader bool) string {
	q := url.Values{}
	// 64 MiB of pages take 130 MB: the allocator gives a page of 4 KiB with its header a
	// slot of 8 KiB. See TestWriterMemory.
	pragmas := []string{"busy_timeout(5000)", "cache_size(-65536)", "mmap_size(0)", "temp_store(MEMORY)"}
	if reader {
		// Exports read every page once, and searches have the kernel's cache: a larger
		// cache for each connection would only let memory grow with the directory.
		pragmas[1] = "cache_size(-2048)"
		pragmas = append(pragmas, "query_only(1)")
	} else {
		// FULL: what was loaded, and every transaction time that a job knows, survives
		// a power cut (docs/decisions/0007-power-cuts.md).
		pragmas = append(pragmas, "journal_mode(WAL)", "synchronous(FULL)",
			"wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
		q.Set("_txlock", "immediate")
	}
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return fileURL(path, q)
}

// fileURL names a database file with options, whatever letters its path has.
func fileURL(path string, options url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options.Encode()}).String()
}

// Dir returns the path of the data directory.
func (s *Store) Dir() string { return s.dir }

// IsDirectory reports whether a folder is a data directory.
func IsDirectory(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, directoryFile))
	return err == nil
}

// Info returns what the directory was made as.
func (s *Store) Info() CreateInfo { return s.info }

// Close closes the databases. Work that is going on ends with an error.
func (s *Store) Close() error {
	var errs []error
	if s.jobs != nil {
		errs = append(errs, s.jobs.Close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.db.Close())
	}
	return errors.Join(errs...)
}
