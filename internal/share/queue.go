package share

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"muster/internal/client"
)

// Queue lets a fixed number of calls run at once. A place that becomes free goes to the client that
// runs the fewest calls; of equal ones, to the one that used the least time lately; of equal ones, to
// the one that has waited longest. Work of the program itself goes first, but takes turns with that
// of clients, so that neither waits for all of the other. Safe for concurrent use.
type Queue struct {
	places     int
	perClient  int // places that one client may have
	maxWaiting int

	mu      sync.Mutex
	free    int
	own     bool              // whether the last place went to the program itself
	waiting []*queued         // in the order of arrival
	usage   map[string]*usage // by the names of allowances
	swept   time.Time
}

// queued is a call that waits for a place.
type queued struct {
	allowances []client.Allowance
	answered   chan struct{} // is closed when the waiter has a place or is refused
	refused    bool
}

// usage is what the clients of one name use of a queue.
type usage struct {
	running, waiting int
	used             decaying // time
	wasted           decaying // time of calls that were interrupted
}

// HalfLife is the time in which a queue forgets half of the time that a client used.
const HalfLife = time.Minute

// forgotten is the used time from which on a client is not remembered.
const forgotten = 10 * time.Millisecond

// decaying is a duration of which half is forgotten in each HalfLife.
type decaying struct {
	amount float64 // seconds
	as     time.Time
}

func (d *decaying) add(more time.Duration, now time.Time) {
	d.amount, d.as = d.at(now)+more.Seconds(), now
}

func (d *decaying) at(now time.Time) float64 {
	return d.amount * math.Exp2(-now.Sub(d.as).Seconds()/HalfLife.Seconds())
}

// NewQueue returns a queue with a number of places, of which one client may have perClient. At most
// maxWaiting calls wait.
func NewQueue(places, perClient, maxWaiting int) *Queue {
	return &Queue{places: places, perClient: perClient, maxWaiting: maxWaiting, free: places, usage: map[string]*usage{}}
}

// Place is a place in a queue that a call has while it runs. Call Leave once.
type Place struct {
	queue      *Queue
	allowances []client.Allowance
	since      time.Time
}

// Enter waits for a place. If ctx ends before, it returns the cause. If too many wait, one of
// the client that has the most waiting is refused with [ErrFull]. The meter of ctx counts the wait.
func (q *Queue) Enter(ctx context.Context, c client.Client) (*Place, error) {
	defer Waited(ctx, time.Now())
	w := &queued{allowances: c.Allowances(), answered: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	q.each(w.allowances, func(u *usage, _ int) { u.waiting++ })
	q.admit()
	if len(q.waiting) > q.maxWaiting {
		q.refuse()
	}
	q.mu.Unlock()
	select {
	case <-w.answered:
	case <-ctx.Done():
		if q.withdraw(w) {
			return nil, context.Cause(ctx)
		}
	}
	if w.refused {
		return nil, ErrFull
	}
	return &Place{queue: q, allowances: w.allowances, since: time.Now()}, nil
}

// withdraw removes a waiter. It returns false if the waiter has been answered.
func (q *Queue) withdraw(w *queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.waiting, w) {
		return false
	}
	q.answer(w)
	return true
}

// Leave gives the place to the next one. An interrupted call has wasted its time.
func (p *Place) Leave(interrupted bool) {
	q, now := p.queue, time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.each(p.allowances, func(u *usage, _ int) {
		u.running--
		u.used.add(now.Sub(p.since), now)
		if interrupted {
			u.wasted.add(now.Sub(p.since), now)
		}
	})
	q.admit()
	q.sweep(now)
}

// Load returns how many calls run, and how many wait.
func (q *Queue) Load() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.places - q.free, len(q.waiting)
}

// Wastes reports whether the interrupted calls of a client lately took as long as limit.
func (q *Queue) Wastes(c client.Client, limit time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, wastes := time.Now(), false
	for _, a := range c.Allowances() {
		if u := q.usage[a.Name]; u != nil {
			wastes = wastes || u.wasted.at(now) >= limit.Seconds()*float64(a.Factor)
		}
	}
	return wastes
}

// admit gives the free places to waiters. The caller holds mu.
func (q *Queue) admit() {
	for q.free > 0 {
		next := q.next()
		if next == nil {
			return
		}
		q.free--
		q.own = len(next.allowances) == 0
		q.each(next.allowances, func(u *usage, _ int) { u.running++ })
		q.answer(next)
	}
}

// next returns the waiter that gets the next place, or nil. The caller holds mu.
func (q *Queue) next() (next *queued) {
	now := time.Now()
	var least rank
	for _, w := range q.waiting {
		if r, ok := q.rank(w, now); ok && (next == nil || r.before(least)) {
			next, least = w, r
		}
	}
	return next
}

// rank decides which waiter is next. The least is first.
type rank struct{ running, used float64 }

func (r rank) before(s rank) bool {
	if r.running != s.running {
		return r.running < s.running
	}
	return r.used < s.used
}

// rank returns the rank of a waiter, and false if its client has all places that it may have.
func (q *Queue) rank(w *queued, now time.Time) (r rank, ok bool) {
	if len(w.allowances) == 0 {
		if q.own {
			return rank{running: math.Inf(1)}, true
		}
		return rank{running: -1}, true
	}
	ok = true
	q.each(w.allowances, func(u *usage, factor int) {
		ok = ok && u.running < q.perClient*factor
		r.running = max(r.running, float64(u.running)/float64(factor))
		r.used = max(r.used, u.used.at(now)/float64(factor))
	})
	return r, ok
}

// refuse refuses the waiter of the client that has the most waiting; of equal ones, the last. The
// caller holds mu.
func (q *Queue) refuse() {
	var worst *queued
	most := -1.0
	for _, w := range q.waiting {
		waiting := 0.0
		q.each(w.allowances, func(u *usage, factor int) { waiting = max(waiting, float64(u.waiting)/float64(factor)) })
		if waiting >= most {
			worst, most = w, waiting
		}
	}
	worst.refused = true
	q.answer(worst)
}

// answer removes a waiter and wakes it. The caller holds mu.
func (q *Queue) answer(w *queued) {
	q.waiting = slices.DeleteFunc(q.waiting, func(other *queued) bool { return other == w })
	q.each(w.allowances, func(u *usage, _ int) { u.waiting-- })
	close(w.answered)
}

// each calls f with the usage of each allowance. The caller holds mu.
func (q *Queue) each(allowances []client.Allowance, f func(u *usage, factor int)) {
	for _, a := range allowances {
		u := q.usage[a.Name]
		if u == nil {
			u = &usage{}
			q.usage[a.Name] = u
		}
		f(u, a.Factor)
	}
}

// sweep forgets clients that used nothing lately. The caller holds mu.
func (q *Queue) sweep(now time.Time) {
	if now.Sub(q.swept) < HalfLife {
		return
	}
	q.swept = now
	for name, u := range q.usage {
		if u.running == 0 && u.waiting == 0 && u.used.at(now) < forgotten.Seconds() {
			delete(q.usage, name)
		}
	}
}
