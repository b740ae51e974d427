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
func (s *Searcher) Search(ctx context.Context, search store.Search) (result store.SearchResult, err error) {
	err = s.run(ctx, func(ctx context.Context) error {
		result, err = s.queries.Search(ctx, search)
		return err
	})
	if err != nil {
		return store.SearchResult{}, fmt.Errorf("search %v: %w", search.Plan.Type, err)
	}
	return result, nil
}

// Rows implements store.Reader.
func (s *Searcher) Rows(ctx context.Context, keys []store.RowKey) (rows []store.Row, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = s.run(ctx, func(ctx context.Context) error {
		rows, err = s.queries.Rows(ctx, keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %d rows: %w", len(keys), err)
	}
	return rows, nil
}

// Lookup implements store.Reader.
func (s *Searcher) Lookup(ctx context.Context, t fhir.Type, ids []string) (rows []store.Row, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.run(ctx, func(ctx context.Context) error {
		rows, err = s.queries.Lookup(ctx, t, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d ids of %v: %w", len(ids), t, err)
	}
	return rows, nil
}

// References implements store.Reader.
func (s *Searcher) References(ctx context.Context, keys []store.RowKey, param int) (references []store.Reference, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = s.run(ctx, func(ctx context.Context) error {
		references, err = s.queries.References(ctx, keys, param)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the references of %d rows: %w", len(keys), err)
	}
	return references, nil
}

// Referrers implements store.Reader.
func (s *Searcher) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) (rows []store.Row, err error) {
	if len(ids) == 0 || limit <= 0 {
		return nil, nil
	}
	err = s.run(ctx, func(ctx context.Context) error {
		rows, err = s.queries.Referrers(ctx, t, param, target, ids, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the %v resources that refer to %d of %v: %w", t, len(ids), target, err)
	}
	return rows, nil
}

// Bodies implements store.Reader.
func (s *Searcher) Bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	err := s.run(ctx, func(ctx context.Context) error { return s.queries.Bodies(ctx, keys, yield) })
	if err != nil {
		return fmt.Errorf("read %d resources: %w", len(keys), err)
	}
	return nil
}

// run calls query under the deadline.
func (s *Searcher) run(ctx context.Context, query func(context.Context) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, s.limit, store.ErrTooCostly)
	defer stop()
	err := query(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // not "interrupted"
	}
	return s.explain(err)
}

// Select runs the selection of a plan under a deadline.
func Select(ctx context.Context, p plan.Plan, limit time.Duration, explain func(error) error, selection func(context.Context) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("the selection of %v ran for %v and was stopped: narrow its filter", p.Type, limit))
	defer stop()
	err := selection(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return explain(err)
}
