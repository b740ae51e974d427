package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// OpenWith opens an empty directory with options. It is closed at the end of the test.
type OpenWith func(t *testing.T, o store.Options) store.Store

// Lanes tests that reads, searches and exports do not use up each other's connections, and that
// slow searches do not delay others.
func Lanes(t *testing.T, open OpenWith) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenWith)
	}{
		{"SearchesDoNotDelayReadsAndExports", testSearchesHeld},
		{"ExportsDoNotDelayReadsAndSearches", testExportsHeld},
		{"SlowSearchesRunAgain", testSlowSearches},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// lanesTest is a store with one resource.
type lanesTest struct {
	readerTest
	key   store.RowKey
	plan  plan.Plan
	held  chan struct{} // receives a value when a call holds its connection
	leave chan struct{} // is closed to end these calls
	calls sync.WaitGroup
}

func newLanesTest(t *testing.T, open OpenWith, o store.Options) *lanesTest {
	t.Helper()
	c := newClock()
	o.Now = c.now
	s := open(t, o)
	l := &lanesTest{readerTest: readerTest{directory: directory{TB: t, Store: s, clock: c}, store: s}, held: make(chan struct{}), leave: make(chan struct{})}
	l.apply(put(fhir.Location, "a", "one", index.Entry{Kind: index.Token, Param: 3, Code: "x"}))
	l.key = l.readerTest.key(fhir.Location, "a")
	l.plan = plan.Plan{Type: fhir.Location, Root: plan.IDs{"a"}}
	t.Cleanup(func() { l.end() })
	return l
}

// end ends the calls that hold a connection.
func (l *lanesTest) end() {
	select {
	case <-l.leave:
	default:
		close(l.leave)
	}
	l.calls.Wait()
}

// as returns a context with a client.
func (l *lanesTest) as(name string) context.Context {
	return client.With(l.Context(), client.Client{Name: name})
}

// hold reads a resource with each call in a goroutine, in which it keeps its connection. It returns
// when no further call gets a connection.
func (l *lanesTest) hold(read func(ctx context.Context, yield func() error) error) (n int) {
	l.Helper()
	yield := func() error {
		l.held <- struct{}{}
		<-l.leave
		return nil
	}
	for {
		ctx := l.as(fmt.Sprint("holder-", n))
		refused := make(chan error, 1)
		l.calls.Go(func() { refused <- read(ctx, yield) })
		select {
		case <-l.held:
			n++
		case err := <-refused:
			if !errors.Is(err, store.ErrBusy) {
				l.Fatalf("after %d calls: %v", n, err)
			}
			return n
		}
	}
}

// reads checks that reads by id and probes are answered.
func (l *lanesTest) reads() {
	l.Helper()
	for n := range 20 {
		if found, err := l.store.Reads().Search(l.as(fmt.Sprint("reader-", n)), store.Search{Plan: l.plan, Limit: 1}); err != nil || len(found.Rows) != 1 {
			l.Fatalf("a read: %v, %v", found, err)
		}
		l.must(l.store.Reads().Bodies(l.as("reader"), []store.RowKey{l.key}, func(store.Row, []byte) error { return nil }))
	}
	l.must(l.store.(interface{ Ping(context.Context) error }).Ping(l.Context()))
}

// exports checks that a snapshot and its resources can be read.
func (l *lanesTest) exports() {
	l.Helper()
	snapshot, err := l.OpenSnapshot(l.Context(), noPin)
	l.must(err)
	rows := 0
	l.must(snapshot.Select(l.Context(), l.plan, func(store.RowKey, int64) error { rows++; return nil }))
	l.must(l.ReadAsOf(l.Context(), []store.RowKey{l.key}, snapshot.Time(), func(store.RowKey, []byte) error { rows++; return nil }))
	l.must(snapshot.Close())
	if rows != 2 {
		l.Errorf("%d rows, want 2", rows)
	}
}

// search searches as a client.
func (l *lanesTest) search(name string) error {
	found, err := l.store.Search(l.as(name), store.Search{Plan: l.plan, Limit: 1})
	if err == nil && len(found.Rows) != 1 {
		err = fmt.Errorf("%d rows", len(found.Rows))
	}
	return err
}

// testSearchesHeld lets searches of many clients keep all their connections.
func testSearchesHeld(t *testing.T, open OpenWith) {
	l := newLanesTest(t, open, store.Options{SearchWait: 50 * time.Millisecond})
	n := l.hold(func(ctx context.Context, yield func() error) error {
		return l.store.Bodies(ctx, []store.RowKey{l.key}, func(store.Row, []byte) error { return yield() })
	})
	load := l.store.(interface {
		SearchLoad() map[string]store.LaneLoad
	}).SearchLoad
	if n < 2 || load()["fast"].Running != n {
		t.Errorf("%d searches run at once, and the load is %v", n, load())
	}
	l.reads()
	l.exports()
	if err := l.search("other"); !errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrTooCostly) {
		t.Errorf("a search without a place: %v", err)
	}
	l.end()
	l.must(l.search("other"))
	if idle := (store.LaneLoad{}); load()["fast"] != idle || load()["read"] != idle || load()["slow"] != idle {
		t.Errorf("nothing runs, and the load is %v", load())
	}
}

// testExportsHeld lets exports keep all their connections.
func testExportsHeld(t *testing.T, open OpenWith) {
	l := newLanesTest(t, open, store.Options{Workers: 2})
	snapshot, err := l.OpenSnapshot(t.Context(), noPin)
	l.must(err)
	l.must(snapshot.Close())
	n := l.hold(func(ctx context.Context, yield func() error) error {
		ctx, stop := context.WithTimeoutCause(ctx, 50*time.Millisecond, store.ErrBusy)
		defer stop()
		err := l.ReadAsOf(ctx, []store.RowKey{l.key}, snapshot.Time(), func(store.RowKey, []byte) error { stop(); return yield() })
		if cause := context.Cause(ctx); errors.Is(cause, store.ErrBusy) {
			err = cause
		}
		return err
	})
	if n < 2 {
		t.Errorf("%d tasks read at once, want one for each worker", n)
	}
	l.reads()
	l.must(l.search("other"))
}

// testSlowSearches has searches that take longer than the fast lane allows: each runs again, and is
// answered.
func testSlowSearches(t *testing.T, open OpenWith) {
	var mu sync.Mutex
	lanes := map[string]int{}
	l := newLanesTest(t, open, store.Options{SearchWaited: func(lane string, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		lanes[lane]++
	}})
	for n := range 2 {
		// The first statement takes longer than the fast lane allows; the next is interrupted.
		slow := true
		search := store.Search{Plan: l.plan, Limit: 1, Total: -1, Trace: func(store.TracedStatement) {
			if slow {
				slow = false
				<-time.After(150 * time.Millisecond)
			}
		}}
		found, err := l.store.Search(l.as(fmt.Sprint("slow-", n)), search)
		if err != nil || found.Total != 1 {
			t.Errorf("a slow search: %+v, %v", found, err)
		}
		l.must(l.search("quick"))
	}
	mu.Lock()
	defer mu.Unlock()
	if lanes["slow"] != 2 || lanes["fast"] != 4 {
		t.Errorf("the lanes were %v", lanes)
	}
}
