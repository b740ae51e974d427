package searchsql

import (
	"cmp"
	"context"
	"slices"

	"muster/internal/store"
	"muster/internal/store/searchsql/physical"
)

// The overfetch factors are how many rows PostgreSQL reads for each row that is needed,
// since an unordered statement may return duplicates: at first, and in a second attempt.
const (
	overfetchFirst  = 2
	overfetchSecond = 32
)

// unorderedPage reads the first rows of a search in no order, each once. It returns all
// as true if there are no other rows; the rows are then in ascending order of the row
// key. It returns ok as false if too many duplicates were read to fill the page.
func (s Session) unorderedPage(ctx context.Context, p physical.Plan, limit int) (rows []store.Row, all, ok bool, err error) {
	for _, fetch := range s.unorderedFetches(p, limit) {
		read, err := s.Rows(ctx, s.Dialect.UnorderedPage(p, fetch))
		if err != nil {
			return nil, false, false, err
		}
		all = len(read) < fetch
		rows = dedupe(read)
		if all || len(rows) >= limit {
			break
		}
	}
	if all {
		slices.SortFunc(rows, func(a, b store.Row) int { return cmp.Compare(a.Key, b.Key) })
	}
	ok = all || len(rows) >= limit
	all = all && len(rows) <= limit
	return rows[:min(len(rows), limit)], all, ok, nil
}

// unorderedFetches returns how many rows each attempt to fill a page reads. One row more
// than the limit shows whether there are others.
func (s Session) unorderedFetches(p physical.Plan, limit int) []int {
	if s.Dialect == SQLite || !p.Unordered() {
		return []int{limit + 1}
	}
	return []int{overfetchFirst*limit + 1, overfetchSecond * limit}
}

// dedupe drops repeated rows.
func dedupe(rows []store.Row) []store.Row {
	seen := make(map[store.RowKey]bool, len(rows))
	return slices.DeleteFunc(rows, func(r store.Row) bool {
		repeated := seen[r.Key]
		seen[r.Key] = true
		return repeated
	})
}

// countUpTo counts the rows of a plan up to limit, or all rows if limit is negative.
// SQLite drops duplicates as it reads and stops early. PostgreSQL would materialize all
// rows, so the first attempts count only a prefix of them.
func (s Session) countUpTo(ctx context.Context, p physical.Plan, limit int64) (int64, error) {
	if s.Dialect == PostgreSQL && limit > 0 && p.Unordered() && p.MayExceed(limit) {
		for _, factor := range []int64{overfetchFirst, overfetchSecond} {
			if n, err := s.countTotal(ctx, s.Dialect.CountPrefix(p, limit, factor*limit)); err != nil || n >= 0 {
				return n, err
			}
		}
	}
	return s.countTotal(ctx, s.Dialect.Total(p, limit))
}
