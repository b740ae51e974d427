package searchsql

import (
	"context"
	"math"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/searchsql/optimiser"
	"muster/internal/store/searchsql/physical"
)

const (
	// searchLimit is the largest set that a search materializes for a page.
	searchLimit = 10_000

	// exportLimit is the limit of the counts for an export. It is higher than that of a
	// search, since an export reads all rows in any case.
	exportLimit = 50_000

	// minMaterialized is the size up to which a search always materializes a set. That
	// takes a few milliseconds.
	minMaterialized = 1000
)

// Selection returns the statement that selects row_key and size of all rows of a plan,
// each once, in ascending order of row_key.
func Selection(ctx context.Context, d Dialect, p plan.Plan, count CountFunc) (Statement, error) {
	optimised, err := optimiser.Optimise(ctx, d, p, exportLimit, count)
	if err != nil {
		return Statement{}, err
	}
	return d.Select(optimised), nil
}

// Find answers a search: it optimises the plan, reads the page, and counts the total
// unless the page holds all matches.
func (s Session) Find(ctx context.Context, search store.Search) (store.SearchResult, error) {
	s = s.traced(search.Trace)
	s.Count = s.CountCache.Wrap(s.Count)
	if result, ok, err := s.findNearest(ctx, search); err != nil || ok {
		return result, err
	}
	optimised, err := s.optimise(ctx, search)
	if err != nil {
		return store.SearchResult{}, err
	}
	var rows []store.Row
	if search.Limit > 0 {
		var all bool
		if rows, all, err = s.page(ctx, optimised, search); err != nil {
			return store.SearchResult{}, err
		}
		if all {
			return store.SearchResult{Rows: rows, Total: int64(len(rows)), Exact: true}, nil
		}
	}
	return s.withTotal(ctx, optimised, search, rows)
}

// findNearest answers a search sorted by distance within a smaller radius. It returns
// false if no smaller radius fills the page.
func (s Session) findNearest(ctx context.Context, search store.Search) (result store.SearchResult, ok bool, err error) {
	if search.Limit == 0 {
		return result, false, nil
	}
	for _, p := range expandingRadii(search) {
		smaller := search
		smaller.Plan = p
		optimised, err := s.optimise(ctx, smaller)
		if err != nil {
			return result, false, err
		}
		rows, all, err := s.page(ctx, optimised, smaller)
		if err != nil {
			return result, false, err
		}
		if all {
			continue
		}
		whole := search
		whole.Order = nil
		if optimised, err = s.optimise(ctx, whole); err != nil {
			return result, false, err
		}
		result, err = s.withTotal(ctx, optimised, search, rows)
		return result, true, err
	}
	return result, false, nil
}

// optimise returns the physical plan of a search. An unordered search with a single
// access path needs no counts.
func (s Session) optimise(ctx context.Context, search store.Search) (physical.Plan, error) {
	if len(search.Order) == 0 && search.Total >= 0 {
		if p := optimiser.ByHeuristic(search.Plan); optimiser.HasSingleAccessPath(p) {
			return p, nil
		}
	}
	limit, err := s.materializeLimit(ctx, search)
	if err != nil {
		return physical.Plan{}, err
	}
	return optimiser.Optimise(ctx, s.Dialect, search.Plan, limit, s.Count)
}

// materializeLimit returns the largest set worth materializing for a page.
// Materializing n rows costs n. Scanning an index over all N resources of the type until
// the page is full costs limit·(N/n)^k, if each of k independent conditions holds for n
// of them. The result is the n for which the two are equal.
func (s Session) materializeLimit(ctx context.Context, search store.Search) (int64, error) {
	switch {
	case search.MaterializeLimit > 0:
		return search.MaterializeLimit, nil
	case len(search.Order) > 0 && search.Order[0].By == "":
		// Conditions and sort keys are often correlated (a name begins with the kind of
		// service). An index scan may then read many rows before the first match, so
		// sets are materialized whenever possible.
		return searchLimit, nil
	}
	all, err := s.Count(ctx, s.Dialect.TypeCount(search.Plan.Type))
	if err != nil {
		return 0, err
	}
	k := float64(optimiser.IndexableConditions(search.Plan))
	equal := math.Pow(float64(max(search.Limit, 1))*math.Pow(float64(all), k), 1/(k+1))
	return int64(min(max(equal, minMaterialized), searchLimit)), nil
}

// page reads the first rows. It returns all as true if there are no other rows.
func (s Session) page(ctx context.Context, p physical.Plan, search store.Search) (rows []store.Row, all bool, err error) {
	if len(search.Order) == 0 && p.Driven() {
		rows, all, ok, err := s.unorderedPage(ctx, p, search.Limit)
		if err != nil || ok {
			return rows, all, err
		}
	}
	for _, statement := range s.Dialect.Page(p, search.Order, search.Limit) {
		next, err := s.Rows(ctx, statement)
		if err != nil {
			return nil, false, err
		}
		if rows = append(rows, next...); len(rows) >= search.Limit {
			return rows[:search.Limit], false, nil
		}
	}
	return rows, true, nil
}

// withTotal returns the result with the rows of a page and the total, counted as far as
// the search asks for.
func (s Session) withTotal(ctx context.Context, p physical.Plan, search store.Search, rows []store.Row) (store.SearchResult, error) {
	result := store.SearchResult{Rows: rows, Total: int64(len(rows))}
	if search.Total == 0 {
		return result, nil
	}
	limit := search.Total
	if limit > 0 {
		limit++ // one more shows whether the count is exact
	}
	n, err := s.countUpTo(ctx, p, limit)
	if err != nil {
		return store.SearchResult{}, err
	}
	result.Total, result.Exact = n, search.Total < 0 || n < limit
	if !result.Exact {
		result.Total = search.Total
	}
	return result, nil
}

// SelectsAll reports whether a plan selects all rows of its type, except those that have a flag of
// hiding.
func SelectsAll(p plan.Plan) (hiding index.Visibility, all bool) {
	nodes := []plan.Node{p.Root}
	if and, ok := p.Root.(plan.And); ok {
		nodes = and
	}
	for _, n := range nodes {
		visible, ok := n.(plan.Visible)
		if !ok {
			return 0, false
		}
		hiding |= visible.Hiding()
	}
	return hiding, true
}
