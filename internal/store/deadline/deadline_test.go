package deadline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/share"
	"muster/internal/store"
)

// fake is a database whose searches take the time that their limit says, in milliseconds. It
// records how many run at once.
type fake struct {
	store.Searcher
	mu            sync.Mutex
	running, most int
	interrupted   int
}

func (f *fake) connect(context.Context) (store.Searcher, func(), error) { return f, func() {}, nil }

func (f *fake) begin() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running++
	f.most = max(f.most, f.running)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
	}
}

func (f *fake) Search(ctx context.Context, s store.Search) (store.SearchResult, error) {
	defer f.begin()()
	select {
	case <-time.After(time.Duration(s.Limit) * time.Millisecond):
		return store.SearchResult{Total: 1}, nil
	case <-ctx.Done():
		f.mu.Lock()
		f.interrupted++
		f.mu.Unlock()
		return store.SearchResult{}, errors.New("interrupted")
	}
}

func (f *fake) Bodies(ctx context.Context, _ []store.RowKey, yield func(store.Row, []byte) error) error {
	if err := yield(store.Row{}, nil); err != nil {
		return err
	}
	_, err := f.Search(ctx, store.Search{Limit: 1000})
	return err
}

// test is a store with lanes over a fake database.
type test struct {
	*testing.T
	db    *fake
	lanes *Lanes
	waits map[string]time.Duration // the longest by lane
}

func newTest(t *testing.T, o store.Options) *test {
	u := &test{T: t, db: &fake{}, waits: map[string]time.Duration{}}
	o.SearchWaited = func(lane string, d time.Duration) {
		u.db.mu.Lock()
		defer u.db.mu.Unlock()
		u.waits[lane] = max(u.waits[lane], d)
	}
	u.lanes = NewLanes(o, u.db.connect, u.db.connect, func(err error) error { return err })
	return u
}

func from(t testing.TB, name string) context.Context {
	return client.With(t.Context(), client.Client{Name: name})
}

// search runs a search that takes a number of milliseconds, and returns how long it took with all
// waits.
func (u *test) search(ctx context.Context, ms int) (time.Duration, error) {
	start := time.Now()
	_, err := u.lanes.Searches().Search(ctx, store.Search{Plan: plan.Plan{Type: fhir.Location}, Limit: ms})
	return time.Since(start), err
}

// hold starts a slow search, and returns when it runs in the slow lane. It has run there for the
// budget of the fast lane when another search that starts now gets there.
func (u *test) hold(name string, ms int) {
	go func() { _, _ = u.search(from(u, name), ms) }()
	time.Sleep(budget + time.Nanosecond)
	synctest.Wait()
}

// want checks the time that a call took and its error.
func (u *test) want(what string, took time.Duration, err error, wantTook time.Duration, wantErr error) {
	u.Helper()
	if took.Round(time.Millisecond) != wantTook || !errors.Is(err, wantErr) {
		u.Errorf("%s: %v, %v; want %v, %v", what, took, err, wantTook, wantErr)
	}
}

// TestDeadlineBeginsAfterTheWait checks that a slow search is interrupted once and runs again, that
// its deadline does not include its waits, and that too long a wait is not the cost of the search.
func TestDeadlineBeginsAfterTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTest(t, store.Options{SlowSearches: 1})
		took, err := u.search(from(t, "a"), 4900)
		u.want("a slow search", took, err, budget+4900*time.Millisecond, nil)
		took, err = u.search(from(t, "b"), 60_000)
		u.want("one beyond its deadline", took, err, budget+store.DefaultSearchDeadline, store.ErrTooCostly)

		u.hold("a", 4800)
		took, err = u.search(from(t, "c"), 4900)
		u.want("one that waits for a slow one", took, err, 4800*time.Millisecond+4900*time.Millisecond, nil)

		u.hold("a", 4800)
		took, err = u.search(from(t, "d"), 80)
		u.want("a quick one beside a slow one", took, err, 80*time.Millisecond, nil)
		took, err = u.search(t.Context(), 50)
		u.want("one of the program itself", took, err, 4800*time.Millisecond-80*time.Millisecond+50*time.Millisecond, nil)
		if u.db.most > 4 || u.waits[FastLane] != 0 {
			t.Errorf("%d searches ran at once, waits %v", u.db.most, u.waits)
		}
	})
}

// TestBusy checks that a search that waits too long is refused as busy, and that reads have places
// of their own.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTest(t, store.Options{SlowSearches: 1, SearchDeadline: time.Minute})
		u.hold("a", 30_000)
		took, err := u.search(from(t, "b"), 500)
		u.want("a slow search", took, err, store.DefaultSearchWait, store.ErrBusy)
		if errors.Is(err, store.ErrTooCostly) || u.db.running != 1 {
			t.Errorf("%v, %d searches run", err, u.db.running)
		}
		for n := range 30 { // searches that are quick each, of many clients
			go func() {
				for range 100 {
					_, _ = u.search(from(t, fmt.Sprint("many-", n)), 90)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		start := time.Now()
		_, err = u.lanes.Reads().Search(from(t, "c"), store.Search{Limit: 1})
		u.want("a read", time.Since(start), err, time.Millisecond, nil)
		took, err = u.search(from(t, "c"), 90)
		if err != nil || took > 2*90*time.Millisecond {
			t.Errorf("a quick search of another client took %v, %v", took, err)
		}
	})
}

// TestFairLanes has a client with many slow searches before one with few: the few do not wait for
// the many.
func TestFairLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTest(t, store.Options{SlowSearches: 2, SearchWait: time.Minute})
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		start := func(name string, n int) {
			for range n {
				all.Go(func() {
					if _, err := u.search(from(t, name), 1000); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name)
				})
			}
			synctest.Wait()
		}
		start("many", 8)
		start("few", 2)
		all.Wait()
		if last := slices.Index(order, "few") + 1 + slices.Index(order[slices.Index(order, "few")+1:], "few"); last > 5 {
			t.Errorf("the order is %v", order)
		}
		if u.db.most > 2+fastPlaces() {
			t.Errorf("%d searches ran at once", u.db.most)
		}
	})
}

// TestWastedWork checks that a client whose searches are slow starts in the slow lane, and in the
// fast lane again when it has been quick for a while.
func TestWastedWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTest(t, store.Options{})
		for range 20 {
			_, _ = u.search(from(t, "a"), 150)
		}
		if want := int(maxWasted / budget); u.db.interrupted < want || u.db.interrupted > want+1 {
			t.Errorf("%d searches were interrupted, want %d", u.db.interrupted, want)
		}
		before := u.db.interrupted
		_, _ = u.search(from(t, "b"), 150)
		if u.db.interrupted != before+1 {
			t.Error("another client did not start in the fast lane")
		}
		time.Sleep(share.HalfLife)
		_, _ = u.search(from(t, "a"), 150)
		if u.db.interrupted != before+2 {
			t.Error("the client never starts in the fast lane again")
		}
	})
}

// TestBodiesRunOnce checks that bodies are not yielded twice, and are not interrupted early.
func TestBodiesRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTest(t, store.Options{})
		yields, start := 0, time.Now()
		err := u.lanes.Searches().Bodies(from(t, "a"), []store.RowKey{1}, func(store.Row, []byte) error { yields++; return nil })
		u.want("the bodies", time.Since(start), err, time.Second, nil)
		if yields != 1 {
			t.Errorf("%d yields", yields)
		}
	})
}

// TestCancelledWait checks that a search whose client leaves gives up its place in the queue.
func TestCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTest(t, store.Options{SlowSearches: 1})
		u.hold("a", 2000)
		ctx, cancel := context.WithCancel(from(t, "b"))
		time.AfterFunc(time.Second/2, cancel)
		took, err := u.search(ctx, 2000)
		u.want("a search whose client leaves", took, err, time.Second/2, context.Canceled)
		time.Sleep(time.Minute)
		for _, l := range []*lane{u.lanes.fast, u.lanes.slow} {
			if running, waiting := l.Load(); running != 0 || waiting != 0 {
				t.Errorf("lane %s: %d run, %d wait", l.name, running, waiting)
			}
		}
	})
}
