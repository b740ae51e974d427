package postgres

import (
	"context"

	"muster/internal/store"
	"muster/internal/store/searchsql"

	"github.com/jackc/pgx/v5"
)

var _ store.Searcher = (*Store)(nil)

// Search implements store.Searcher. Its statements are one read transaction, which
// sees one moment.
func (s *Store) Search(ctx context.Context, search store.Search) (store.SearchResult, error) {
	ctx, stop := s.brief(ctx)
	defer stop()
	found, err := s.find(ctx, search)
	if err != nil {
		return store.SearchResult{}, s.briefError(ctx, err, "search %v", search.Plan.Type)
	}
	return found, nil
}

func (s *Store) find(ctx context.Context, search store.Search) (store.SearchResult, error) {
	tx, err := s.readers.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return store.SearchResult{}, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return searchsql.PostgreSQL.Find(ctx, search, searchsql.Session{
		Count:  counting(tx),
		Counts: &s.counts,
		Rows: func(ctx context.Context, text searchsql.Statement) ([]store.Row, error) {
			return rowsOf(ctx, tx, text.SQL, text.Args...)
		},
	})
}

// queryer is a transaction or the readers.
type queryer interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// counting runs the counts by which a search decides its order of work.
func counting(q queryer) searchsql.Count {
	return func(ctx context.Context, s searchsql.Statement) (n int64, err error) {
		return n, q.QueryRow(ctx, s.SQL, s.Args...).Scan(&n)
	}
}
