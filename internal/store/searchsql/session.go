package searchsql

import (
	"context"
	"time"

	"muster/internal/store"
	"muster/internal/store/searchsql/optimiser"
	"muster/internal/store/searchsql/sqlwriter"
)

type (
	// Statement is the text of a statement with its arguments.
	Statement = sqlwriter.Statement
	// Dialect is the dialect of SQL of a database.
	Dialect = sqlwriter.Dialect
	// CountFunc runs a statement that returns one number.
	CountFunc = optimiser.CountFunc
	// CountCache caches counts for the optimiser.
	CountCache = optimiser.CountCache
)

// The dialects.
const (
	SQLite     = sqlwriter.SQLite
	PostgreSQL = sqlwriter.PostgreSQL
)

// RowColumns lists the columns of a [store.Row], read from table resource AS r.
const RowColumns = sqlwriter.RowColumns

// Session runs statements in a read transaction of a driver.
type Session struct {
	Dialect Dialect
	// Count runs a statement that returns one number.
	Count CountFunc
	// Rows runs a statement that returns [RowColumns].
	Rows func(ctx context.Context, s Statement) ([]store.Row, error)
	// CountCache caches the optimiser's counts between searches. Optional.
	CountCache *CountCache

	countTotal CountFunc // Count, labelled "total" in a trace
}

// traced returns the session with each statement reported to trace, unless trace is
// nil.
func (s Session) traced(trace func(store.TracedStatement)) Session {
	s.countTotal = s.Count
	if trace == nil {
		return s
	}
	count, rows := s.Count, s.Rows
	s.Count, s.countTotal = tracedCount(count, "count", trace), tracedCount(count, "total", trace)
	s.Rows = func(ctx context.Context, statement Statement) ([]store.Row, error) {
		start := time.Now()
		found, err := rows(ctx, statement)
		trace(store.TracedStatement{What: "page", SQL: statement.SQL, Args: statement.Args, Rows: int64(len(found)), Took: time.Since(start)})
		return found, err
	}
	return s
}

func tracedCount(count CountFunc, what string, trace func(store.TracedStatement)) CountFunc {
	return func(ctx context.Context, statement Statement) (int64, error) {
		start := time.Now()
		n, err := count(ctx, statement)
		trace(store.TracedStatement{What: what, SQL: statement.SQL, Args: statement.Args, Rows: n, Took: time.Since(start)})
		return n, err
	}
}
