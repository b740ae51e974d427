package searchsql

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
	// Counts remembers counts from one search to the next. Optional.
	Counts *Counts

	total Count // Count, told apart in a trace
}

// traced is the session with each statement told to trace, if that is set.
func (in Session) traced(trace func(store.TracedStatement)) Session {
	in.total = in.Count
	if trace == nil {
		return in
	}
	count, rows := in.Count, in.Rows
	in.Count, in.total = counts(count, "count", trace), counts(count, "total", trace)
	in.Rows = func(ctx context.Context, s Statement) ([]store.Row, error) {
		start := time.Now()
		found, err := rows(ctx, s)
		trace(store.TracedStatement{What: "page", SQL: s.SQL, Args: s.Args, Rows: int64(len(found)), Took: time.Since(start)})
		return found, err
	}
	return in
}

func counts(count Count, what string, trace func(store.TracedStatement)) Count {
	return func(ctx context.Context, s Statement) (int64, error) {
		start := time.Now()
		n, err := count(ctx, s)
		trace(store.TracedStatement{What: what, SQL: s.SQL, Args: s.Args, Rows: n, Took: time.Since(start)})
		return n, err
	}
}

// Find answers a search: it arranges the plan, reads the page, and counts the total
// unless the page holds all matches.
func (d Dialect) Find(ctx context.Context, s store.Search, in Session) (store.SearchResult, error) {
	in = in.traced(s.Trace)
	in.Count = in.Counts.through(in.Count)
	if rows, ok, err := d.nearest(ctx, s, in); err != nil || ok {
		return rows, err
	}
	work, err := d.work(ctx, s, in)
	if err != nil {
		return store.SearchResult{}, err
	}
	found := store.SearchResult{}
	if s.Limit > 0 {
		var all bool
		if found.Rows, all, err = d.page(ctx, work, s, in); err != nil {
			return store.SearchResult{}, err
		}
		if all {
			found.Total, found.Exact = int64(len(found.Rows)), true
			return found, nil
		}
	}
	return d.total(ctx, work, s, in, found)
}

// nearest answers a search sorted by near from a smaller circle, if that fills the page.
func (d Dialect) nearest(ctx context.Context, s store.Search, in Session) (found store.SearchResult, ok bool, err error) {
	if s.Limit == 0 {
		return found, false, nil
	}
	for _, p := range rings(s) {
		smaller := s
		smaller.Plan = p
		work, err := d.work(ctx, smaller, in)
		if err != nil {
			return found, false, err
		}
		rows, all, err := d.page(ctx, work, smaller, in)
		if err != nil {
			return found, false, err
		}
		if all {
			continue
		}
		whole := s
		whole.Order = nil
		if work, err = d.work(ctx, whole, in); err != nil {
			return found, false, err
		}
		found, err = d.total(ctx, work, s, in, store.SearchResult{Rows: rows})
		return found, true, err
	}
	return found, false, nil
}

// work fixes the order of work. Where nothing is to be gathered and there is one way to
// go, nothing is counted for it.
func (d Dialect) work(ctx context.Context, s store.Search, in Session) (Work, error) {
	if len(s.Order) == 0 && s.Total >= 0 {
		if work := Arrange(s.Plan); work.root.settled() {
			return work, nil
		}
	}
	bound, err := d.bound(ctx, s, in)
	if err != nil {
		return Work{}, err
	}
	return d.Arrange(ctx, s.Plan, bound, in.Count)
}

// page reads the first rows; all tells that there are no others.
func (d Dialect) page(ctx context.Context, work Work, s store.Search, in Session) (rows []store.Row, all bool, err error) {
	if len(s.Order) == 0 && work.root.driver >= 0 {
		rows, all, ok, err := d.streamed(ctx, work, s.Limit, in)
		if err != nil || ok {
			return rows, all, err
		}
	}
	for _, statement := range d.Page(work, s.Order, s.Limit) {
		more, err := in.Rows(ctx, statement)
		if err != nil {
			return nil, false, err
		}
		if rows = append(rows, more...); len(rows) >= s.Limit {
			return rows[:s.Limit], false, nil
		}
	}
	return rows, true, nil
}

// bound is up to how many rows a set is worth gathering for a page. To gather n rows
// costs n; to walk through all N of the type until the page is full costs, when each
// of k conditions holds for n of them and they are independent, limit·(N/n)^k. The
// bound is where the two are equal.
func (d Dialect) bound(ctx context.Context, s store.Search, in Session) (int64, error) {
	switch {
	case s.Gather > 0:
		return s.Gather, nil
	case len(s.Order) > 0 && s.Order[0].By == "":
		// Conditions and orders often go together (a name begins with the kind of
		// service), and then a walk meets no match for long. So what can be gathered is.
		return SearchBound, nil
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
func (d Dialect) total(ctx context.Context, work Work, s store.Search, in Session, found store.SearchResult) (store.SearchResult, error) {
	found.Total = int64(len(found.Rows))
	if s.Total == 0 {
		return found, nil
	}
	most := s.Total
	if most > 0 {
		most++ // one more tells whether that is all
	}
	n, err := d.counted(ctx, work, most, in)
	if err != nil {
		return store.SearchResult{}, err
	}
	found.Total, found.Exact = n, s.Total < 0 || n < most
	if !found.Exact {
		found.Total = s.Total
	}
	return found, nil
}
