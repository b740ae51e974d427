package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/storetest"
	"muster/internal/testkit/pgtest"

	"github.com/jackc/pgx/v5"
)

// holdGate starts a write that stops inside the gate, before its commit. It continues when
// release is called, and its error is sent to result.
func holdGate(t *testing.T, s *Store, changes []store.Change) (release func(), result <-chan error) {
	t.Helper()
	reached, open := make(chan struct{}), make(chan struct{})
	disarm := failpoint.Arm("directory.apply.commit", func(context.Context) error {
		close(reached)
		<-open
		return nil
	})
	done := make(chan error, 1)
	go func() {
		_, err := s.Apply(t.Context(), changes)
		done <- err
	}()
	<-reached
	disarm() // the next writer must not stop
	release = sync.OnceFunc(func() { close(open) })
	t.Cleanup(release) // a test that fails before must not wait for its own holder
	return release, done
}

// lockHolder selects the session that holds the gate of the schema.
const lockHolder = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND (classid::bigint, objid::bigint) IN (SELECT 1836414065, hashtext(current_schema())::bigint & 4294967295)`

// wantFree checks with another store that the gate is free, and that the changes are not
// stored yet.
func wantFree(t *testing.T, s *Store, changes []store.Change) {
	t.Helper()
	outcomes, err := s.Apply(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o != store.Created {
			t.Errorf("outcome %d is %v: the dead holder has written", i, o)
		}
	}
}

// TestDeadHolder ends the session that holds the gate, as the death of its process does. The
// other session acquires the gate, and no part of the write is stored.
func TestDeadHolder(t *testing.T) {
	where := pgtest.Database(t)
	dead, alive := openTest(t, where, nil), openTest(t, where, nil)
	changes := storetest.Changes(5)
	release, result := holdGate(t, dead, changes)
	waiting := make(chan struct{}, 1)
	t.Cleanup(failpoint.Arm("directory.gate.waiting", func(context.Context) error { waiting <- struct{}{}; return nil }))
	free := make(chan struct{})
	go func() {
		defer close(free)
		wantFree(t, alive, changes)
	}()
	<-waiting
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var ended bool
	if err := conn.QueryRow(t.Context(), `SELECT pg_terminate_backend(pid) FROM (`+lockHolder+`) AS holder`).Scan(&ended); err != nil || !ended {
		t.Fatalf("the holder was not ended: %v", err)
	}
	<-free
	release()
	if err := <-result; err == nil {
		t.Error("the dead holder got no error for its transaction")
	}
}

// TestHungHolder stops a writer inside the gate for longer than the session may be idle, as on
// a suspended machine. The other session acquires the gate, and the writer gets an error.
func TestHungHolder(t *testing.T) {
	where := pgtest.Database(t)
	alive := openTest(t, where, nil) // creates the tables
	hung := openTest(t, with(t, where, "idle_in_transaction_session_timeout", "2000"), nil)
	changes := storetest.Changes(5)
	release, result := holdGate(t, hung, changes)
	wantFree(t, alive, changes)
	release()
	if err := <-result; err == nil {
		t.Error("the hung holder got no error for its transaction")
	}
	if outcomes, err := hung.Apply(t.Context(), changes); err != nil || outcomes[0] != store.Unchanged {
		t.Errorf("when it continues: outcomes %v, %v; want unchanged", outcomes, err)
	}
}

// TestGateTimeout has a holder that does not release the gate and a session that waits for at
// most 200 ms. Its error says what to check.
func TestGateTimeout(t *testing.T) {
	where := pgtest.Database(t)
	holder, waiter := openTest(t, where, nil), openTest(t, with(t, where, "lock_timeout", "200"), nil)
	changes := storetest.Changes(2)
	release, result := holdGate(t, holder, changes[:1])
	_, err := waiter.Apply(t.Context(), changes[1:])
	if err == nil || !strings.Contains(err.Error(), "pg_stat_activity") {
		t.Errorf("error %v, want one with what to do", err)
	}
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestJobsDuringWrite creates, claims and cancels a job while a writer holds the gate.
func TestJobsDuringWrite(t *testing.T) {
	s := openTest(t, pgtest.Database(t), nil)
	release, result := holdGate(t, s, storetest.Changes(1))
	if err := s.CreateJob(t.Context(), store.Job{ID: "one", Owner: "anna", Request: []byte("{}")}, 5); err != nil {
		t.Fatal(err)
	}
	task, err := s.Claim(t.Context(), "worker", 10, 1000, store.Bounds{})
	if err != nil || task == nil {
		t.Fatalf("task %v, %v", task, err)
	}
	if err := s.Renew(t.Context(), task, 20, 1000, 5); err != nil {
		t.Error(err)
	}
	if err := s.Cancel(t.Context(), "one", "anna", 30, 40); err != nil {
		t.Error(err)
	}
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestPinIsAtomic lets a snapshot fail after the job has stored its transaction time. The job
// must not have a time afterwards.
func TestPinIsAtomic(t *testing.T) {
	s := openTest(t, pgtest.Database(t), nil)
	if err := s.CreateJob(t.Context(), store.Job{ID: "one", Owner: "anna", Request: []byte("{}")}, 5); err != nil {
		t.Fatal(err)
	}
	task, err := s.Claim(t.Context(), "worker", 10, 1000, store.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	disarm := failpoint.Arm("directory.snapshot.pinned", func(context.Context) error { return broken })
	pin := func(ctx context.Context, at fhir.Instant) error { return s.BeginSelecting(ctx, task, at, 10) }
	if _, err := s.OpenSnapshot(t.Context(), pin); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	disarm()
	if job, err := s.Job(t.Context(), "one"); err != nil || job.State != store.Accepted || job.Time != 0 {
		t.Errorf("job %+v, %v; want it unchanged", job, err)
	}
	snap, err := s.OpenSnapshot(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if job, err := s.Job(t.Context(), "one"); err != nil || job.State != store.Selecting || job.Time != snap.Time() {
		t.Errorf("job %+v, %v; want it selecting at %v", job, err, snap.Time())
	}
}

// TestNow compares the store's clock with the database's clock, which the commit times come
// from.
func TestNow(t *testing.T) {
	s := openTest(t, pgtest.Database(t), nil)
	// The measured offset is one hour.
	r := s.dbClock.at.Load()
	s.dbClock.at.Store(&measurement{r.database.Add(time.Hour), r.local})
	if ahead := time.Until(s.Now()); ahead < 59*time.Minute {
		t.Errorf("the clock is %v ahead, want the hour of the database", ahead)
	}
	if err := s.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.Now().Add(-time.Second)
	snap, err := s.OpenSnapshot(t.Context(), func(context.Context, fhir.Instant) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if at := snap.Time().Time(); at.Before(before) || at.After(s.Now().Add(time.Second)) {
		t.Errorf("transaction time %v, the clock says %v", at, s.Now())
	}
}

// TestServerRestarts stops the server of an open store and starts it again. Calls return errors
// in between, and succeed afterwards, with everything that was committed.
func TestServerRestarts(t *testing.T) {
	server := pgtest.StartServer(t)
	s := openTest(t, pgtest.DatabaseOn(t, server.URL), nil)
	changes := storetest.Changes(10)
	if _, err := s.Apply(t.Context(), changes[:5]); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	if _, err := s.Apply(t.Context(), changes); err == nil {
		t.Error("a write succeeded without a server")
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("the store is ready without a server")
	}
	server.Start(t)
	outcomes, err := s.Apply(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []store.Outcome{store.Unchanged, store.Created} {
		if got := outcomes[5*i]; got != want {
			t.Errorf("outcome %d is %v, want %v", 5*i, got, want)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// with returns the URL with a parameter.
func with(t *testing.T, where, name, value string) string {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// wantRefused opens a database that must be refused, and checks that the error says what is
// wrong and what to do.
func wantRefused(t *testing.T, where string, o store.Options, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), where, o)
	if err == nil {
		_ = s.Close()
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if u, _ := url.Parse(where); u != nil && u.User != nil {
		if password, ok := u.User.Password(); ok && strings.Contains(err.Error(), password) {
			t.Errorf("error %q contains the password", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	where := pgtest.Database(t)
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*url.URL)) string {
		c := *u
		f(&c)
		return c.String()
	}
	t.Run("not a URL", func(t *testing.T) {
		wantRefused(t, "postgres://anna:hush-hush@host:port/x", store.Options{}, "postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	})
	t.Run("no server", func(t *testing.T) {
		wantRefused(t, change(func(u *url.URL) { u.Host = "127.0.0.1:1" }), store.Options{}, "127.0.0.1:1", "cannot be reached", "check that the server runs")
	})
	t.Run("no such user", func(t *testing.T) {
		wantRefused(t, change(func(u *url.URL) { u.User = url.UserPassword("stranger", "hush-hush") }), store.Options{}, "user or the password is wrong")
	})
	t.Run("no such database", func(t *testing.T) {
		wantRefused(t, change(func(u *url.URL) { u.Path = "/muster_nowhere" }), store.Options{}, "muster_nowhere", "createdb")
	})
	t.Run("nothing there", func(t *testing.T) {
		wantRefused(t, where, store.Options{}, "does not hold a directory", "muster load --database")
	})
	t.Run("directory in another schema", func(t *testing.T) {
		where := initialised(t)
		u, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf(`"Other_%d"`, time.Now().UnixNano())
		run(t, where, `CREATE SCHEMA `+name)
		defer run(t, where, `DROP SCHEMA `+name+` CASCADE`)
		other := with(t, where, "search_path", name+","+u.Query().Get("search_path"))
		wantRefused(t, other, store.Options{}, "does not hold a directory")
		if err := openTest(t, other, nil).Close(); err != nil { // creates one, although the name has a capital letter
			t.Error(err)
		}
	})
	t.Run("tables of another program", func(t *testing.T) {
		where := pgtest.Database(t)
		run(t, where, `CREATE TABLE letters (text text)`)
		wantRefused(t, where, store.Options{Create: &testInfo}, "letters", "empty or a new database")
	})
	t.Run("user who may not create tables", func(t *testing.T) {
		where := pgtest.Database(t)
		role := fmt.Sprintf("reader_%d", time.Now().UnixNano())
		run(t, where, `CREATE ROLE `+role+` LOGIN`)
		t.Cleanup(func() {
			conn, err := pgx.Connect(context.Background(), where)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if _, err := conn.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
				t.Error(err)
			}
		})
		run(t, where, `DO $$ BEGIN EXECUTE 'GRANT USAGE ON SCHEMA ' || current_schema() || ' TO `+role+`'; END $$`)
		read, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		read.User = url.User(role)
		wantRefused(t, read.String(), store.Options{Create: &testInfo}, "may not write")
	})
	for part, version := range map[string]string{"directory": directoryVersion, "jobs": jobsVersion} {
		t.Run("newer schema of "+part, func(t *testing.T) {
			where := initialised(t, `INSERT INTO `+version+` (version_id, is_applied) VALUES (9000, true)`)
			wantRefused(t, where, store.Options{}, "version 9000", "newer muster")
		})
	}
	t.Run("interrupted initialisation", func(t *testing.T) {
		where := initialised(t, `DELETE FROM meta`, `DELETE FROM clock`, `DELETE FROM sequence`)
		wantRefused(t, where, store.Options{}, "interrupted", "muster load")
		openTest(t, where, nil)
	})
	t.Run("other base URL", func(t *testing.T) {
		wantRefused(t, initialised(t), store.Options{Expect: store.Identity{BaseURL: "https://other/fhir"}}, "localhost", "https://other/fhir")
	})
}

func TestAddressesOfOlderDirectories(t *testing.T) {
	storetest.OlderAddresses(t, directoryVersion, func(statements ...string) (storetest.Addressed, error) {
		return Open(t.Context(), initialised(t, statements...), store.Options{})
	})
}

// initialised returns the URL of a directory after running statements on its database.
func initialised(t *testing.T, statements ...string) string {
	t.Helper()
	where := pgtest.Database(t)
	if err := openTest(t, where, nil).Close(); err != nil {
		t.Fatal(err)
	}
	run(t, where, statements...)
	return where
}

// run runs statements on a database.
func run(t *testing.T, where string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, text := range statements {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStalledSession has a session that holds the gate for as long as another one may wait. The
// session is reported, and an inspection finds it.
func TestStalledSession(t *testing.T) {
	where := pgtest.Database(t)
	holder := openTest(t, where, nil)
	stalls := make(chan store.GateStall, 10)
	waiter, err := Open(t.Context(), with(t, where, "lock_timeout", "200"), store.Options{GateStalled: func(s store.GateStall) { stalls <- s }})
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	if _, stalled, err := stalledGate(t.Context(), waiter.reads, 0); err != nil || stalled {
		t.Errorf("a free gate: stalled %v, %v", stalled, err)
	}
	changes := storetest.Changes(2)
	release, result := holdGate(t, holder, changes[:1])
	if _, err := waiter.Apply(t.Context(), changes[1:]); err == nil {
		t.Error("the waiting session has no error")
	}
	var pid int
	if err := waiter.reads.QueryRow(t.Context(), lockHolder).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	stall := <-stalls
	if want := fmt.Sprintf("session %d of PostgreSQL (muster, from ", pid); !strings.HasPrefix(stall.Holder, want) || !strings.Contains(stall.Text(), fmt.Sprintf("pg_terminate_backend(%d)", pid)) {
		t.Errorf("reported %+v, want %s", stall, want)
	}
	for after, want := range map[time.Duration]bool{100 * time.Millisecond: true, time.Hour: false} {
		if _, stalled, err := stalledGate(t.Context(), waiter.reads, after); err != nil || stalled != want {
			t.Errorf("held for %v: %v, %v", after, stalled, err)
		}
	}
	release()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if _, err := waiter.Apply(t.Context(), changes[1:]); err != nil {
		t.Fatal(err)
	}
}
