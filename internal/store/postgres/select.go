package postgres

import (
	"context"
	"fmt"

	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/searchsql"

	"github.com/jackc/pgx/v5"
)

// queryer is a transaction or the readers.
type queryer interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// counting runs the counts by which a search decides its order of work.
func counting(q queryer) searchsql.CountFunc {
	return func(ctx context.Context, s searchsql.Statement) (n int64, err error) {
		return n, q.QueryRow(ctx, s.SQL, s.Args...).Scan(&n)
	}
}

// Select implements store.Snapshot.
func (s *snapshot) Select(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, s.deadline,
		fmt.Errorf("the selection of %v ran for %v and was stopped: narrow its filter", p.Type, s.deadline))
	defer stop()
	err := s.selectRows(ctx, p, yield)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return explain(err)
}

func (s *snapshot) selectRows(ctx context.Context, p plan.Plan, yield func(store.RowKey, int64) error) error {
	statement, err := searchsql.Selection(ctx, searchsql.PostgreSQL, p, counting(s.tx))
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	rows, err := s.tx.Query(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		if err := yield(store.RowKey(number(values[0])), number(values[1])); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("select %v: %w", p.Type, err)
	}
	return nil
}
