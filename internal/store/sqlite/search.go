package sqlite

import (
	"context"
	"database/sql"

	"muster/internal/store"
	"muster/internal/store/searchsql"
)

var _ store.Searcher = (*Store)(nil)

// Search implements store.Searcher. Its statements are one read transaction.
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
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return store.SearchResult{}, err
	}
	defer func() { _ = tx.Rollback() }()
	return searchsql.SQLite.Find(ctx, search, searchsql.Session{
		Count:  counting(tx),
		Counts: &s.counts,
		Rows: func(ctx context.Context, text searchsql.Statement) ([]store.Row, error) {
			return rowsOf(ctx, tx, text.SQL, text.Args...)
		},
	})
}

// counting runs the counts by which a search decides its order of work.
func counting(tx *sql.Tx) searchsql.Count {
	return func(ctx context.Context, s searchsql.Statement) (n int64, err error) {
		err = tx.QueryRowContext(ctx, s.SQL, s.Args...).Scan(&n)
		return n, err
	}
}
