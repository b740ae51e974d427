package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"muster/internal/store"
	"muster/internal/store/jobsql"
	"muster/internal/store/searchsql"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// Store is an open database. It implements store.Store. Safe for use by several
// goroutines.
type Store struct {
	*jobsql.Jobs

	clock          func() time.Time
	waited         func(time.Duration) // is told of each wait for the gate; nil for nobody
	dbClock        databaseClock
	deadline       time.Duration
	searchDeadline time.Duration
	info           store.Identity
	pools          []*pgxpool.Pool
	readers        *pgxpool.Pool // query only
	gate           *sql.DB       // the sessions that pass the gate
	jobs           *sql.DB
	stop           context.CancelFunc
	stopped        sync.WaitGroup
	countCache     searchsql.CountCache

	mu    sync.Mutex       // of what follows
	pace  writepath.Pace   // taken inside the gate
	names map[string]int64 // rows of table name that are known to be committed
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Secrets = (*Store)(nil)
)

// locks are how work on jobs keeps apart what SQLite keeps apart by itself.
var locks = jobsql.Dialect{
	Numbered:   true,
	LockJob:    `SELECT 1 FROM job WHERE id = ? FOR UPDATE`,
	LockOwner:  `SELECT pg_advisory_xact_lock(` + ownLock + `)`,
	SkipLocked: `FOR UPDATE OF j SKIP LOCKED`,
	WaitLocked: `FOR UPDATE OF j`,
	Explain:    explain,
	Stale:      stale,
}

// Open opens the database that a URL (postgres://user:password@host:port/database)
// names, making the directory in it first if o.Create says so, and brings its schema
// up to date. It connects, so a server that does not answer is an error here.
func Open(ctx context.Context, url string, o store.Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open database: write its URL as postgres://USER:PASSWORD@HOST:PORT/DATABASE: %w", err)
	}
	s, err := open(ctx, config, o)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", name(config), explain(err))
	}
	return s, nil
}

func open(ctx context.Context, config *pgxpool.Config, o store.Options) (_ *Store, err error) {
	s := &Store{
		clock: o.Now, waited: o.GateWaited,
		deadline: cmp.Or(o.Deadline, store.DefaultDeadline), searchDeadline: cmp.Or(o.SearchDeadline, store.DefaultSearchDeadline),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.connect(config); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, o); err != nil {
		return nil, err
	}
	if err := s.measure(ctx); err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.stopped.Go(func() { s.follow(ctx) })
	return s, nil
}

// connect makes the three pools. Who reads, who writes and who works on a job never
// wait for each other's connections.
func (s *Store) connect(config *pgxpool.Config) error {
	var pools [3]*pgxpool.Pool
	for i, p := range []struct {
		most     int
		settings map[string]string
	}{{max(8, 2*runtime.GOMAXPROCS(0)), readSession}, {gateSessions, gateSession}, {8, jobSession}} {
		pool, err := newPool(config, int32(p.most), p.settings)
		if err != nil {
			return err
		}
		pools[i], s.pools = pool, append(s.pools, pool)
	}
	s.readers = pools[0]
	s.gate, s.jobs = stdlib.OpenDBFromPool(pools[1]), stdlib.OpenDBFromPool(pools[2])
	s.Jobs = jobsql.New(s.jobs, locks)
	return nil
}

// Info returns what the directory was made as.
func (s *Store) Info() store.Identity { return s.info }

// Close closes the connections. Work that is going on ends with an error.
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
