package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"muster/internal/regularfile"
	"muster/internal/store"
	"muster/internal/store/deadline"
	"muster/internal/store/searchsql"
	"muster/internal/store/sqlite/pagesum"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Files of a data directory besides the lock files.
const (
	directoryFile = "directory.db"
	jobsFile      = "jobs.db"

	// FilesFolder is the folder of the export files in the data directory.
	FilesFolder = "files"
)

// Store is an open data directory. It implements store.Store. Safe for use by several
// goroutines.
type Store struct {
	*jobsDB
	*deadline.Searcher

	dir     string
	now     func() time.Time
	info    store.Identity
	options store.Options
	trust   bool // pages without a right checksum
	gate    gate
	recount store.Recount
	lanes   *deadline.Lanes

	// The databases that are query only. Reads by id, searches and exports do not wait for each
	// other's connections.
	reads, searches, exports *sql.DB

	mu     sync.Mutex // guards writer; locked inside the gate only
	writer *writer
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Serving = (*Store)(nil)
)

// Open opens the data directory and migrates its schema. It creates the directory first if
// o.Create is set and there is none.
func Open(ctx context.Context, dir string, o store.Options) (*Store, error) {
	s, err := open(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, explain(dir, err))
	}
	return s, nil
}

func open(ctx context.Context, dir string, o store.Options) (*Store, error) {
	s := &Store{dir: dir, now: o.Now, options: o, trust: o.TrustPages, gate: gate{dir: dir, waited: o.GateWaited, stalls: &store.StallReporter{Report: o.GateStalled}}}
	if s.now == nil {
		s.now = time.Now
	}
	if err := pagesum.Registered(); err != nil {
		return nil, err
	}
	pagesum.Verify(!o.TrustPages)
	if err := prepareFolder(dir, o.Create != nil); err != nil {
		return nil, err
	}
	release, err := s.gate.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.openFiles(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepareFolder checks that the folder is a data directory, or creates it.
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

// ours reports whether a file may exist in a directory that is being created.
func ours(name string) bool {
	switch name {
	case turnstileFile, gateFile, serveFile, FilesFolder:
		return true
	}
	return strings.HasPrefix(name, directoryFile) || strings.HasPrefix(name, jobsFile)
}

// openFiles opens the databases. The caller holds the gate, so two processes do not create
// or migrate the same directory at once.
func (s *Store) openFiles(ctx context.Context, o store.Options) error {
	if err := checkPair(ctx, s.dir); err != nil {
		return err
	}
	for _, name := range []string{directoryFile, jobsFile} {
		if err := createPrivate(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
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
	if s.info, err = meta.Establish(ctx, db, o); err != nil {
		return err
	}
	if err := s.writer.prepare(ctx); err != nil {
		return err
	}
	if err := s.useRules(); err != nil {
		return err
	}
	if err := s.openReaders(o); err != nil {
		return err
	}
	if s.jobsDB, err = openJobs(ctx, filepath.Join(s.dir, jobsFile)); err != nil {
		return err
	}
	s.writer.liveTimes = s.LiveTimes
	return nil
}

// openReaders opens the databases that are query only.
func (s *Store) openReaders(o store.Options) error {
	connections := deadline.ConnectionsOf(o)
	for _, p := range []struct {
		db   **sql.DB
		size int
	}{{&s.reads, connections.Reads}, {&s.searches, connections.Searches}, {&s.exports, connections.Exports}} {
		db, err := openReaders(dataSource(filepath.Join(s.dir, directoryFile), true))
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(p.size)
		db.SetMaxIdleConns(p.size)
		*p.db = db
	}
	var counts searchsql.CountCache
	s.lanes = deadline.NewLanes(o, connector(s.reads, &counts), connector(s.searches, &counts), s.explain)
	s.Searcher = s.lanes.Searches()
	return nil
}

// SearchLoad returns how many searches and reads of this process run and wait, by lane.
func (s *Store) SearchLoad() map[string]store.LaneLoad { return s.lanes.Load() }

// Reads implements store.Store.
func (s *Store) Reads() store.Searcher { return s.lanes.Reads() }

// checkFiles returns an error if something else than a regular file has the name of a database or
// of a file beside it, or if its log is lost. SQLite would wait for the other end of a pipe, and take
// a lost log for an empty one.
func checkFiles(database string) error {
	if err := regularfile.Check(database); err != nil {
		return err
	}
	for _, ending := range []string{"-wal", "-shm", "-journal", "-synced"} {
		if err := regularfile.CheckOwn(database + ending); err != nil {
			return err
		}
	}
	if empty, err := missingOrEmpty(database); err == nil && !empty && pagesum.LostLog(database+"-wal") {
		return lostLog(filepath.Dir(database), filepath.Base(database))
	}
	return nil
}

// newEnding is the ending of the name of a database that is being created.
const newEnding = ".new"

// createPrivate creates a missing or empty database, without tables, that only its owner may read
// and whose pages have checksums. SQLite would create it readable for all users, and without
// checksums. It gives its other files the permissions of this one. A database that has not become
// complete does not exist: the next call creates it.
func createPrivate(path string) error {
	empty, err := missingOrEmpty(path)
	if err != nil || !empty {
		return err
	}
	// SQLite would replay the log of the lost database in the new one.
	if empty, err := missingOrEmpty(path + "-wal"); err != nil {
		return err
	} else if !empty {
		return fmt.Errorf("%[1]s is missing or empty, but its log %[1]s-wal is not: restore both from a backup, or move the log away", filepath.Base(path))
	}
	partial := path + newEnding
	err = errors.Join(removeIfExists(partial), pagesum.RemoveMark(path)) // of an interrupted creation, and of a lost database
	if err == nil {
		err = writePrivate(partial, pagesum.EmptyPage())
	}
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", filepath.Base(path), errors.Join(err, removeIfExists(partial)))
	}
	return nil
}

// missingOrEmpty reports whether a file does not exist or is empty.
func missingOrEmpty(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && info.Size() == 0, err
}

// writePrivate creates a file that only its owner may read, and syncs it.
func writePrivate(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dataSource returns the data source name of a database, with the settings of a writer or a
// reader.
func dataSource(path string, reader bool) string {
	q := url.Values{}
	// 64 MiB of pages take 130 MB: the allocator uses 8 KiB for a page of 4 KiB with its
	// header. See TestWriterMemory.
	pragmas := []string{"busy_timeout(5000)", "cache_size(-65536)", "mmap_size(0)", "temp_store(MEMORY)"}
	if reader {
		// Exports read every page once, and searches use the page cache of the kernel. With
		// a larger cache for each connection, memory would grow with the directory.
		pragmas[1] = "cache_size(-2048)"
		pragmas = append(pragmas, "query_only(1)")
	} else {
		// FULL: loaded data and the transaction times of jobs survive a power cut
		// (docs/decisions/0007-power-cuts.md).
		pragmas = append(pragmas, "journal_mode(WAL)", "synchronous(FULL)",
			"wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
		q.Set("_txlock", "immediate")
	}
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return fileURL(path, q)
}

// fileURL returns the URL of a database file. It escapes the path.
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

// Info returns what the directory was created as.
func (s *Store) Info() store.Identity { return s.info }

// Close closes the databases. Running calls return errors. The last process that closes them moves
// their logs into them; if it cannot, Close says so.
func (s *Store) Close() error {
	var errs []error
	if s.jobsDB != nil {
		errs = append(errs, s.jobsDB.Close())
	}
	for _, db := range []*sql.DB{s.reads, s.searches, s.exports} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.writer != nil {
		errs = append(errs, s.writer.db.Close())
	}
	return errors.Join(append(errs, logFailure(s.dir))...)
}
