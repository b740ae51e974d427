package postgres

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/storetest"
	"muster/internal/testkit/pgtest"
)

var testInfo = store.Identity{BaseURL: "http://localhost:8080/fhir", Mode: "authoritative", DefinitionsHash: "0123456789abcdef"}

// openTest opens a database with a clock. It creates the directory if the database is empty.
func openTest(t testing.TB, url string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, store.Options{Now: now, Create: &testInfo, SearchDeadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// databases maps each folder of the suite to its own database.
type databases struct{ byFolder sync.Map }

func (d *databases) url(t testing.TB, dir string) (url string, fresh bool) {
	t.Helper()
	if known, ok := d.byFolder.Load(dir); ok {
		return known.(string), false
	}
	url = pgtest.Database(t)
	d.byFolder.Store(dir, url)
	return url, true
}

func (d *databases) open(t testing.TB, dir string, now func() time.Time) store.Store {
	t.Helper()
	url, _ := d.url(t, dir)
	return openTest(t, url, now)
}

func TestCascade(t *testing.T) { storetest.Cascade(t, new(databases).openCascade) }

func TestCascadeOverDamage(t *testing.T) {
	var d databases
	storetest.CascadeOverDamage(t, d.openCascade, func(t *testing.T, dir string, statements ...string) {
		t.Helper()
		url, _ := d.url(t, dir)
		run(t, url, statements...)
	})
}

func (d *databases) openCascade(t testing.TB, dir string, o store.Options) (storetest.IndexerStore, error) {
	url, fresh := d.url(t, dir)
	if fresh {
		o.Create = &testInfo
	}
	s, err := Open(t.Context(), url, o)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func TestDirectory(t *testing.T) {
	storetest.Directory(t, new(databases).open)
}

func BenchmarkDirectory(b *testing.B) {
	storetest.Benchmark(b, new(databases).open)
}

func TestJobs(t *testing.T) {
	storetest.Jobs(t, func(t *testing.T) store.Jobs { return openTest(t, pgtest.Database(t), nil) })
}

func TestRegistry(t *testing.T) {
	storetest.Registry(t, func(t *testing.T) (one, other store.Registry) {
		url := pgtest.Database(t)
		return openTest(t, url, nil), openTest(t, url, nil)
	})
}

func TestDamagedClient(t *testing.T) {
	url := pgtest.Database(t)
	storetest.DamagedClient(t, openTest(t, url, nil), func(statement string) { run(t, url, statement) })
}

// nodes is a job store that calls two stores in turn, as if each call reached another node.
type nodes struct {
	store.Jobs
	other store.Jobs
	calls atomic.Int64
}

func (n *nodes) next() store.Jobs {
	if n.calls.Add(1)%2 == 0 {
		return n.Jobs
	}
	return n.other
}

func (n *nodes) CreateJob(ctx context.Context, job store.Job, limit int) error {
	return n.next().CreateJob(ctx, job, limit)
}

func (n *nodes) Claim(ctx context.Context, worker string, now fhir.Instant, lease int64, within store.Bounds) (*store.Task, error) {
	return n.next().Claim(ctx, worker, now, lease, within)
}

func (n *nodes) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease, found int64) error {
	return n.next().Renew(ctx, t, now, lease, found)
}

func (n *nodes) FinishPart(ctx context.Context, t *store.Task, object string, stored store.Stored, now, expires fhir.Instant) (store.State, error) {
	return n.next().FinishPart(ctx, t, object, stored, now, expires)
}

func (n *nodes) Cancel(ctx context.Context, id, owner string, now, expires fhir.Instant) error {
	return n.next().Cancel(ctx, id, owner, now, expires)
}

func TestJobsOnTwoNodes(t *testing.T) {
	storetest.Jobs(t, func(t *testing.T) store.Jobs {
		url := pgtest.Database(t)
		return &nodes{Jobs: openTest(t, url, nil), other: openTest(t, url, nil)}
	})
}

func TestLastTimes(t *testing.T) {
	url := pgtest.Database(t)
	storetest.LastTimes(t, openTest(t, url, nil), openTest(t, url, nil))
}

// TestRestored puts the rows of a restored dump into the database, which a dump is not in after it
// was restored.
func TestRestored(t *testing.T) {
	var d databases
	storetest.Restored(t, d.open, func(dir string, last fhir.Instant) func(func() time.Time) store.Store {
		url, _ := d.url(t, dir)
		restored := false
		return func(now func() time.Time) store.Store {
			if !restored {
				restored = true
				run(t, url, fmt.Sprintf(`UPDATE clock SET last = %d`, last), `UPDATE meta SET value = 'elsewhere' WHERE key = 'location'`)
			}
			return openTest(t, url, now)
		}
	})
}

func TestReader(t *testing.T) {
	var d databases
	storetest.Reader(t, func(t testing.TB, dir string, now func() time.Time, deadline time.Duration) store.Store {
		url, _ := d.url(t, dir)
		s, err := Open(t.Context(), url, store.Options{Now: now, Create: &testInfo, SearchDeadline: deadline})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

func TestIndexer(t *testing.T) {
	var d databases
	storetest.Indexer(t, func(t testing.TB, dir, definitions string, now func() time.Time) (storetest.IndexerStore, error) {
		url, fresh := d.url(t, dir)
		o := store.Options{Now: now, Expect: store.Identity{DefinitionsHash: definitions}}
		if fresh {
			o.Create = &testInfo
		}
		s, err := Open(t.Context(), url, o)
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
		}
		return s, err
	})
}

func TestGateWaits(t *testing.T) {
	storetest.GateWaits(t, openWith)
}

func TestLanes(t *testing.T) { storetest.Lanes(t, openWith) }

// openWith opens an empty directory with options.
func openWith(t *testing.T, o store.Options) store.Store {
	t.Helper()
	o.Create = &testInfo
	s, err := Open(t.Context(), pgtest.Database(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestServedOrReindexed checks that several processes can serve a database, that its index
// cannot be rebuilt meanwhile, and that it cannot be served while its index is rebuilt.
func TestServedOrReindexed(t *testing.T) {
	url := pgtest.Database(t)
	a, b := openTest(t, url, nil), openTest(t, url, nil)
	take := func(lock func(context.Context) (io.Closer, error)) io.Closer {
		t.Helper()
		c, err := lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	refused := func(lock func(context.Context) (io.Closer, error), words string) {
		t.Helper()
		if _, err := lock(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want an error with %q", err, words)
		}
	}
	marked := func(s *Store) func(context.Context) (io.Closer, error) {
		return func(ctx context.Context) (io.Closer, error) { return s.MarkServed(ctx) }
	}
	unserved := func(s *Store) func(context.Context) (io.Closer, error) {
		return func(ctx context.Context) (io.Closer, error) { return s.lockUnserved(ctx) }
	}
	first, second := take(marked(a)), take(marked(b))
	refused(unserved(b), "it is being served")
	first.Close()
	refused(unserved(b), "it is being served")
	second.Close()
	reindexing := take(unserved(b))
	refused(marked(a), "start the server when 'muster reindex' has ended")
	if err := b.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: func(dst []index.Entry, _ fhir.Type, _ []byte) ([]index.Entry, *store.Change, error) {
		return dst, nil, nil
	}}); err != nil {
		t.Fatal(err)
	}
	reindexing.Close()
	refused(marked(a), "run this command again")
	take(marked(b)).Close()
}

// TestLostMark ends the session that marks the directory as served. The watch marks it again,
// but returns an error if another process has started to rebuild the index in the meantime.
func TestLostMark(t *testing.T) {
	url := pgtest.Database(t)
	a, b := openTest(t, url, nil), openTest(t, url, nil)
	m, err := a.MarkServed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	marks := func(query string) (n int) {
		t.Helper()
		err := b.reads.QueryRow(t.Context(), `SELECT count(`+query+`) FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND classid::bigint = 1836414067 AND objid::bigint = hashtext(current_schema())::bigint & 4294967295
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	endSessions := func() {
		t.Helper()
		for marks("pg_terminate_backend(pid)") > 0 {
			time.Sleep(time.Millisecond) // until its locks are gone
		}
	}

	endSessions()
	watching, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Watch(watching) }()
	for marks("*") == 0 {
		select {
		case err := <-ended:
			t.Fatalf("the watch ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	endSessions()
	reindexing, err := b.lockUnserved(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reindexing.Close()
	if err := m.Watch(t.Context()); err == nil || !strings.Contains(err.Error(), "its index is being rebuilt") {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestDamagedRows(t *testing.T) {
	storetest.Damage(t, func(t *testing.T) storetest.DamagedDirectory {
		where := pgtest.Database(t)
		return storetest.DamagedDirectory{
			Store: openTest(t, where, nil), Body: "%s", Versions: directoryVersion,
			Reopen: func() storetest.IndexerStore { return openTest(t, where, nil) },
			Run:    func(statements ...string) { t.Helper(); run(t, where, statements...) },
		}
	})
}
