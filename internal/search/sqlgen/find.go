package sqlgen

import (
	"context"
	"math"
	"time"

	"muster/internal/store"
)

// Session is a read transaction of a driver, which runs statements.
type Session struct {
	Count Count
	// Rows runs a statement of [Dialect.Page].
	Rows func(ctx context.Context, s Statement) ([]store.Row, error)

	total Count // Count, told apart in a trace
}

// traced is the session with each statement told to trace, if that is set.
func (in Session) traced(trace func(store.Step)) Session {
	in.total = in.Count
	if trace == nil {
		return in
	}
	count, rows := in.Count, in.Rows
	in.Count, in.total = counts(count, "count", trace), counts(count, "total", trace)
	in.Rows = func(ctx context.Context, s Statement) ([]store.Row, error) {
		start := time.Now()
		found, err := rows(ctx, s)
		trace(store.Step{What: "page", SQL: s.SQL, Args: s.Args, Rows: int64(len(found)), Took: time.Since(start)})
		return found, err
	}
	return in
}

func counts(count Count, what string, trace func(store.Step)) Count {
	return func(ctx context.Context, s Statement) (int64, error) {
		start := time.Now()
		n, err := count(ctx, s)
		trace(store.Step{What: what, SQL: s.SQL, Args: s.Args, Rows: n, Took: time.Since(start)})
		return n, err
	}
}

// Find answers a search: it arranges the plan, reads the page, and counts the total
// unless the page holds all matches.
func (d Dialect) Find(ctx context.Context, s store.Search, in Session) (store.Found, error) {
	in = in.traced(s.Trace)
	bound, err := d.bound(ctx, s, in)
	if err != nil {
		return store.Found{}, err
	}
	work, err := d.Arrange(ctx, s.Plan, bound, in.Count)
	if err != nil {
		return store.Found{}, err
	}
	found := store.Found{}
	for _, statement := range d.Page(work, s.Order, s.Limit) {
		if len(found.Rows) == s.Limit {
			break
		}
		rows, err := in.Rows(ctx, statement)
		if err != nil {
			return store.Found{}, err
		}
		found.Rows = append(found.Rows, rows...)
	}
	if len(found.Rows) >= s.Limit {
		found.Rows = found.Rows[:s.Limit]
		return d.total(ctx, work, s, in, found)
	}
	found.Total, found.Exact = int64(len(found.Rows)), true
	return found, nil
}

// bound is up to how many rows a set is worth gathering for a page. To gather n rows
// costs n; to walk through all N of the type until the page is full costs, when each
// of k conditions holds for n of them and they are independent, limit·(N/n)^k. The
// bound is where the two are equal.
func (d Dialect) bound(ctx context.Context, s store.Search, in Session) (int64, error) {
	if s.Gather > 0 {
		return s.Gather, nil
	}
	var f fragment
	f.add("SELECT coalesce((SELECT last FROM sequence WHERE type = ?), 0)", int64(s.Plan.Type))
	all, err := in.Count(ctx, d.statement(&f))
	if err != nil {
		return 0, err
	}
	k := 0.0
	for _, kid := range conjunction(s.Plan.Root, s.Plan.Type).kids {
		if kid.cost() != never {
			k++
		}
	}
	equal := math.Pow(float64(max(s.Limit, 1))*math.Pow(float64(all), k), 1/(k+1))
	return int64(min(max(equal, leastGathered), SearchBound)), nil
}

// leastGathered is how many rows a search always gathers: that takes a few
// milliseconds, and cannot go wrong.
const leastGathered = 1000

// total counts as far as the search asks. A page that is full tells the least that
// the total can be.
func (d Dialect) total(ctx context.Context, work Work, s store.Search, in Session, found store.Found) (store.Found, error) {
	found.Total = int64(len(found.Rows))
	if s.Total == 0 {
		return found, nil
	}
	most := s.Total
	if most > 0 {
		most++ // one more tells whether that is all
	}
	n, err := in.total(ctx, d.Total(work, most))
	if err != nil {
		return store.Found{}, err
	}
	found.Total, found.Exact = n, s.Total < 0 || n < most
	if !found.Exact {
		found.Total = s.Total
	}
	return found, nil
}
