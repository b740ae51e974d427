// Package deadline limits how long searches run, and how many run at once.
//
// A driver runs its statements without a limit. [Searcher] runs them under a deadline, and
// replaces the error of an interrupted statement by the reason for the interruption:
// [store.ErrTooCostly], or the cause of the caller's context. The selections of exports have no
// deadline here, since they run in slices (package export).
//
// # Lanes
//
// Slow searches must not delay quick ones. Each search runs in the fast lane first. If it takes
// longer than the budget of that lane, it is interrupted and runs again in the slow lane, where
// few searches run at once. A client whose searches were interrupted often lately starts in the
// slow lane, so that the interrupted work stays small. Reads have a lane of their own. Each lane
// has connections of its own, and its places are shared fairly among the clients (package
// share).
//
// The deadline of a search begins when it has a place and a connection. A search that waits too
// long for them returns [store.ErrBusy].
package deadline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/share"
	"muster/internal/store"
)

// Connect returns a searcher on a connection of its own. Its calls have no deadline. release
// returns the connection.
type Connect func(ctx context.Context) (queries store.Searcher, release func(), err error)

// Lanes are the lanes of a store. They configure its searchers.
type Lanes struct {
	connectReads, connectSearches Connect
	limit, wait                   time.Duration
	waited                        func(lane string, d time.Duration)
	explain                       func(error) error
	reads, fast, slow             *lane
}

// lane is a queue with its name for metrics.
type lane struct {
	*share.Queue
	name string
}

// The names of the lanes.
const (
	ReadLane = "read"
	FastLane = "fast"
	SlowLane = "slow"
)

const (
	// budget is the time of a search in the fast lane.
	budget = 100 * time.Millisecond
	// maxWasted is the time that interrupted searches of a client may take in the fast lane
	// before its searches start in the slow lane.
	maxWasted = 3 * budget
	// maxWaiting is the maximum number of searches that wait for a lane.
	maxWaiting = 1000
	// reads is the number of reads that run at once.
	reads = 4
	// spare is the number of connections of the reads that probes and metrics use.
	spare = 2
	// exportSpare is how many connections the work on exports has besides one for each worker.
	exportSpare = 2
)

// Connections are the numbers of connections that the lanes and the work on exports use.
type Connections struct{ Reads, Searches, Exports int }

// ConnectionsOf returns the numbers of connections for the options of a store.
func ConnectionsOf(o store.Options) Connections {
	o = o.WithDefaults()
	return Connections{Reads: reads + spare, Searches: fastPlaces() + o.SlowSearches, Exports: o.Workers + exportSpare}
}

// fastPlaces returns how many searches run at once in the fast lane.
func fastPlaces() int { return max(4, 2*store.Cores()) }

// NewLanes returns the lanes of a store with the options. Reads use the connections of
// connectReads, and searches those of connectSearches; [ConnectionsOf] says how many of them there
// must be. explain adds to errors of the database what an operator can do.
func NewLanes(o store.Options, connectReads, connectSearches Connect, explain func(error) error) *Lanes {
	o = o.WithDefaults()
	newLane := func(name string, places, perClient int) *lane {
		return &lane{share.NewQueue(places, perClient, maxWaiting), name}
	}
	return &Lanes{
		connectReads: connectReads, connectSearches: connectSearches,
		limit: o.SearchDeadline, wait: o.SearchWait, waited: o.SearchWaited, explain: explain,
		// One client cannot have all places. In the slow lane it can, since a search that waits
		// there for a place of another client waits for seconds in any case.
		reads: newLane(ReadLane, reads, reads/2),
		fast:  newLane(FastLane, fastPlaces(), fastPlaces()/2),
		slow:  newLane(SlowLane, o.SlowSearches, o.SlowSearches),
	}
}

// Load returns how many calls run and how many wait, by the name of the lane.
func (l *Lanes) Load() map[string]store.LaneLoad {
	loads := map[string]store.LaneLoad{}
	for _, lane := range []*lane{l.reads, l.fast, l.slow} {
		running, waiting := lane.Load()
		loads[lane.name] = store.LaneLoad{Running: running, Waiting: waiting}
	}
	return loads
}

// Searcher runs each call of another searcher in a lane and under a deadline. Calls without keys
// or ids return nothing and run no statement.
type Searcher struct {
	lanes *Lanes
	reads bool // in the lane of the reads
}

var _ store.Searcher = (*Searcher)(nil)

// Searches returns the searcher for searches.
func (l *Lanes) Searches() *Searcher { return &Searcher{lanes: l} }

// Reads returns the searcher for reads by id.
func (l *Lanes) Reads() *Searcher { return &Searcher{lanes: l, reads: true} }

// Search implements store.Searcher.
func (s *Searcher) Search(ctx context.Context, search store.Search) (store.SearchResult, error) {
	return run(ctx, s, func(ctx context.Context, q store.Searcher) (store.SearchResult, error) { return q.Search(ctx, search) },
		"search %v", search.Plan.Type)
}

// Rows implements store.Reader.
func (s *Searcher) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context, q store.Searcher) ([]store.Row, error) { return q.Rows(ctx, keys) },
		"read %d rows", len(keys))
}

// Lookup implements store.Reader.
func (s *Searcher) Lookup(ctx context.Context, t fhir.Type, ids []string) ([]store.Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context, q store.Searcher) ([]store.Row, error) { return q.Lookup(ctx, t, ids) },
		"look up %d ids of %v", len(ids), t)
}

// References implements store.Reader.
func (s *Searcher) References(ctx context.Context, keys []store.RowKey, param int) ([]store.Reference, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context, q store.Searcher) ([]store.Reference, error) {
		return q.References(ctx, keys, param)
	},
		"read the references of %d rows", len(keys))
}

// Referrers implements store.Reader.
func (s *Searcher) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error) {
	if len(ids) == 0 || limit <= 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context, q store.Searcher) ([]store.Row, error) {
		return q.Referrers(ctx, t, param, target, ids, limit)
	}, "find the %v resources that refer to %d of %v", t, len(ids), target)
}

// Bodies implements store.Reader. It does not run twice, since yield would get a body twice; its
// work is bounded by the keys.
func (s *Searcher) Bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	t := s.turn(ctx)
	defer t.end()
	_, err := attempt(ctx, t, s.first(), s.lanes.limit, store.ErrTooCostly, func(ctx context.Context, q store.Searcher) (struct{}, error) {
		return struct{}{}, q.Bodies(ctx, keys, yield)
	})
	if err != nil {
		return fmt.Errorf("read %d resources: %w", len(keys), s.lanes.explain(err))
	}
	return nil
}

// first returns the lane in which calls run first.
func (s *Searcher) first() *lane {
	if s.reads {
		return s.lanes.reads
	}
	return s.lanes.fast
}

// errSlow is the reason for the interruption of a search in the fast lane.
var errSlow = errors.New("the search is slow")

// run runs a query in the lanes. format and args describe the query in errors.
func run[T any](ctx context.Context, s *Searcher, query func(context.Context, store.Searcher) (T, error), format string, args ...any) (T, error) {
	l, t := s.lanes, s.turn(ctx)
	defer t.end()
	result, err := *new(T), errSlow
	switch {
	case s.reads:
		result, err = attempt(ctx, t, l.reads, l.limit, store.ErrTooCostly, query)
	case l.limit <= budget:
		result, err = attempt(ctx, t, l.fast, l.limit, store.ErrTooCostly, query)
	case t.client != (client.Client{}) && !l.fast.Wastes(t.client, maxWasted):
		result, err = attempt(ctx, t, l.fast, budget, errSlow, query)
	}
	if errors.Is(err, errSlow) {
		result, err = attempt(ctx, t, l.slow, l.limit, store.ErrTooCostly, query)
	}
	if err != nil {
		return *new(T), fmt.Errorf(format+": %w", append(args, l.explain(err))...)
	}
	return result, nil
}

// turn is the way of one call through the lanes.
type turn struct {
	client  client.Client
	connect Connect
	lanes   *Lanes
	waiting context.Context // ends when the call has waited for too long
	end     context.CancelFunc
}

// turn begins a call. Work of the program itself waits as long as it must.
func (s *Searcher) turn(ctx context.Context) *turn {
	t := &turn{client: client.From(ctx), connect: s.lanes.connectSearches, lanes: s.lanes, waiting: ctx, end: func() {}}
	if s.reads {
		t.connect = s.lanes.connectReads
	}
	if t.client != (client.Client{}) {
		t.waiting, t.end = context.WithTimeoutCause(ctx, s.lanes.wait, store.ErrBusy)
	}
	return t
}

// attempt waits for a place in a lane and a connection, and calls query under a deadline. A call
// that exceeds it returns tooLong.
func attempt[T any](ctx context.Context, t *turn, l *lane, limit time.Duration, tooLong error, query func(context.Context, store.Searcher) (T, error)) (result T, err error) {
	start := time.Now()
	place, err := l.Enter(t.waiting, t.client)
	if errors.Is(err, share.ErrFull) {
		err = store.ErrBusy
	}
	if err != nil {
		return result, err
	}
	defer func() { place.Leave(errors.Is(err, errSlow)) }()
	queries, release, err := t.connect(t.waiting)
	if err != nil {
		return result, Reason(t.waiting, err)
	}
	defer release()
	if t.lanes.waited != nil {
		t.lanes.waited(l.name, time.Since(start))
	}
	ctx, stop := context.WithTimeoutCause(ctx, limit, tooLong)
	defer stop()
	result, err = query(ctx, queries)
	return result, Reason(ctx, err)
}

// Reason returns the cause for which ctx has ended in place of the error of a statement that was
// interrupted for it.
func Reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
