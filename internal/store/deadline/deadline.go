// Package deadline limits how long searches and selections run.
//
// A driver runs its statements without a limit. [Searcher] and [Select] run them under a
// deadline, and replace the error of an interrupted statement by the reason for the
// interruption: [store.ErrTooCostly], or the cause of the caller's context.
package deadline

import (
	"context"
	"fmt"
	"time"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// Searcher runs each call of another searcher under a deadline. Calls without keys or ids
// return nothing and run no statement.
type Searcher struct {
	queries store.Searcher
	limit   time.Duration
	explain func(error) error
}

var _ store.Searcher = (*Searcher)(nil)

// New returns a searcher that calls queries. A call that takes longer than limit returns
// [store.ErrTooCostly]. explain adds to errors of the database what an operator can do.
func New(queries store.Searcher, limit time.Duration, explain func(error) error) *Searcher {
	return &Searcher{queries, limit, explain}
}

// Search implements store.Searcher.
func (s *Searcher) Search(ctx context.Context, search store.Search) (store.SearchResult, error) {
	return run(ctx, s, func(ctx context.Context) (store.SearchResult, error) { return s.queries.Search(ctx, search) },
		"search %v", search.Plan.Type)
}

// Rows implements store.Reader.
func (s *Searcher) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context) ([]store.Row, error) { return s.queries.Rows(ctx, keys) },
		"read %d rows", len(keys))
}

// Lookup implements store.Reader.
func (s *Searcher) Lookup(ctx context.Context, t fhir.Type, ids []string) ([]store.Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context) ([]store.Row, error) { return s.queries.Lookup(ctx, t, ids) },
		"look up %d ids of %v", len(ids), t)
}

// References implements store.Reader.
func (s *Searcher) References(ctx context.Context, keys []store.RowKey, param int) ([]store.Reference, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context) ([]store.Reference, error) { return s.queries.References(ctx, keys, param) },
		"read the references of %d rows", len(keys))
}

// Referrers implements store.Reader.
func (s *Searcher) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error) {
	if len(ids) == 0 || limit <= 0 {
		return nil, nil
	}
	return run(ctx, s, func(ctx context.Context) ([]store.Row, error) {
		return s.queries.Referrers(ctx, t, param, target, ids, limit)
	}, "find the %v resources that refer to %d of %v", t, len(ids), target)
}

// Bodies implements store.Reader.
func (s *Searcher) Bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := run(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.queries.Bodies(ctx, keys, yield) },
		"read %d resources", len(keys))
	return err
}

// run calls query under the deadline. format and args describe the query in errors.
func run[T any](ctx context.Context, s *Searcher, query func(context.Context) (T, error), format string, args ...any) (result T, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, s.limit, store.ErrTooCostly)
	defer stop()
	if result, err = query(ctx); err == nil {
		return result, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // not "interrupted"
	}
	var none T
	return none, fmt.Errorf(format+": %w", append(args, s.explain(err))...)
}

// Select runs the selection of a plan under a deadline.
func Select(ctx context.Context, p plan.Plan, limit time.Duration, explain func(error) error, selection func(context.Context) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("the selection of %v ran for %s and was stopped: narrow its filter", p.Type, humanize.Duration(limit)))
	defer stop()
	err := selection(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return explain(err)
}
