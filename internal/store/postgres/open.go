package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"muster/internal/store"
	"muster/internal/store/deadline"
	"muster/internal/store/jobsql"
	"muster/internal/store/searchsql"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// Store is an open database. It implements store.Store. Safe for use by several
// goroutines.
type Store struct {
	*jobsql.Jobs
	*deadline.Searcher

	clock   func() time.Time
	waited  func(time.Duration) // is called with the duration of each wait for the gate; may be nil
	stalls  store.StallReporter
	dbClock databaseClock
	recount store.Recount
	info    store.Identity
	pools   []*pgxpool.Pool
	lanes   *deadline.Lanes
	gate    *sql.DB // the sessions that pass the gate
	jobs    *sql.DB
	stop    context.CancelFunc // of the goroutine that measures the clock
	stopped sync.WaitGroup

	// The pools that are query only. Reads by id, searches and exports do not wait for each
	// other's connections.
	reads, searches, exports *pgxpool.Pool

	options store.Options
	rules   store.Rules // nil for a directory without cascades

	mu      sync.Mutex // guards the fields below; locked inside the gate only
	chunks  writepath.ChunkSizer
	nameIDs map[string]int64 // rows of table name that are known to be committed
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Serving = (*Store)(nil)
)

// jobsDialect locks the rows that concurrent changes of jobs must not change. SQLite needs no
// locks, since it runs one write transaction at a time.
var jobsDialect = jobsql.Dialect{
	Numbered:   true,
	LockJob:    `SELECT 1 FROM job WHERE id = ? FOR UPDATE`,
	LockClient: `SELECT pg_advisory_xact_lock(` + clientLock + `)`,
	SkipLocked: `FOR UPDATE OF j SKIP LOCKED`,
	WaitLocked: `FOR UPDATE OF j`,
	Explain:    explain,
	Stale:      stale,
	// The others are for what only reads.
	Transactions: jobSessions / 2,
}

// Open opens the database with a URL that [CheckURL] accepts, and migrates its schema. It
// creates the directory first if o.Create is set and there is none. It connects to the server,
// and returns an error if the server does not answer.
func Open(ctx context.Context, url string, o store.Options) (*Store, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, config, o)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", name(config), explain(err))
	}
	return s, nil
}

func open(ctx context.Context, config *pgxpool.Config, o store.Options) (_ *Store, err error) {
	s := &Store{
		options: o, clock: o.Now, waited: o.GateWaited, stalls: store.StallReporter{Report: o.GateStalled},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.connect(config, o); err != nil {
		return nil, err
	}
	var counts searchsql.CountCache
	s.lanes = deadline.NewLanes(o, connector(s.reads, &counts), connector(s.searches, &counts), explain)
	s.Searcher = s.lanes.Searches()
	if err := s.prepare(ctx, o); err != nil {
		return nil, err
	}
	if err := s.measure(ctx); err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.stopped.Go(func() { s.measureRegularly(ctx) })
	return s, nil
}

// connect creates the pools. Readers, writers and jobs do not wait for each other's connections.
func (s *Store) connect(config *pgxpool.Config, o store.Options) error {
	var gate, jobs *pgxpool.Pool
	connections := deadline.ConnectionsOf(o)
	for _, p := range []struct {
		pool     **pgxpool.Pool
		maxConns int
		settings map[string]string
		watch    func(*pgconn.PgConn) ctxwatch.Handler // nil for the default of pgx
	}{
		{&s.reads, connections.Reads, readSession, interruptible},
		{&s.searches, connections.Searches, readSession, interruptible},
		{&s.exports, connections.Exports, readSession, interruptible},
		{&gate, gateSessions, gateSession, nil},
		{&jobs, jobSessions, jobSession, nil},
	} {
		config := config.Copy()
		if p.watch != nil {
			config.ConnConfig.BuildContextWatcherHandler = p.watch
		}
		pool, err := newPool(config, int32(p.maxConns), p.settings)
		if err != nil {
			return err
		}
		*p.pool, s.pools = pool, append(s.pools, pool)
	}
	s.gate, s.jobs = stdlib.OpenDBFromPool(gate), stdlib.OpenDBFromPool(jobs)
	s.Jobs = jobsql.New(s.jobs, jobsDialect)
	return nil
}

// SearchLoad returns how many searches and reads of this process run and wait, by lane.
func (s *Store) SearchLoad() map[string]store.LaneLoad { return s.lanes.Load() }

// Reads implements store.Store.
func (s *Store) Reads() store.Searcher { return s.lanes.Reads() }

// Info returns what the directory was created as.
func (s *Store) Info() store.Identity { return s.info }

// Close closes the connections. Running calls return errors.
func (s *Store) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.stopped.Wait()
	var errs []error
	for _, db := range []*sql.DB{s.gate, s.jobs} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	for _, pool := range s.pools {
		pool.Close()
	}
	return errors.Join(errs...)
}
