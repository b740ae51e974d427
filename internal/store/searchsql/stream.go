package searchsql

import (
	"cmp"
	"context"
	"slices"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// spare and more say how many rows PostgreSQL reads for one that is wanted, since some
// come repeatedly: at first, and once more when those were too few.
const (
	spare = 2
	more  = 32
)

// Stream writes the statement that reads the rows of a search as they come from what
// drives, up to limit. Nothing is gathered, so who wants a few rows in whatever order
// reads little, however many there are. SQLite drops repetitions as they come;
// PostgreSQL would gather everything first, so there some rows come repeatedly. The
// columns are those of [Dialect.Page].
func (d Dialect) Stream(work Work, limit int) Statement {
	w := &writer{d: d}
	q := w.selection()
	row := q.stream(work.root)
	distinct := ""
	if d == SQLite && work.root.streams() {
		distinct = "DISTINCT "
	}
	var f fragment
	q.write(&f, distinct+columns(row))
	f.add("\nLIMIT ?", limit)
	return d.statement(&f)
}

// tries are how many rows are read to find some different ones: one more than is wanted
// tells whether that is all; where rows may come repeatedly, more, and then many more.
func (d Dialect) tries(work Work, limit int) []int {
	if d == SQLite || !work.root.streams() {
		return []int{limit + 1}
	}
	return []int{spare*limit + 1, more * limit}
}

// columns are those of a page.
func columns(row string) string {
	text := ""
	for i, name := range []string{"row_key", "id", "version", "committed", "last_updated", "visibility", "size"} {
		if i > 0 {
			text += ", "
		}
		text += row + "." + name
	}
	return text
}

// stream adds the rows of a conjunction, some of them repeatedly.
func (q *selection) stream(root *step) (row string) {
	key, row := q.rows(root.kids[root.driver])
	if row == "" {
		row = q.resource(key)
	}
	q.check(root.checks(), row)
	return row
}

// streamed reads the first rows of a search that asks for no order, each once. all
// tells that there are no others; then they are in the order of their keys. It gives
// up, false, when too many rows come repeatedly.
func (d Dialect) streamed(ctx context.Context, work Work, limit int, in Session) (rows []store.Row, all, ok bool, err error) {
	for _, most := range d.tries(work, limit) {
		read, err := in.Rows(ctx, d.Stream(work, most))
		if err != nil {
			return nil, false, false, err
		}
		all = len(read) < most
		rows = once(read)
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

// once drops rows that came before.
func once(rows []store.Row) []store.Row {
	seen := make(map[store.RowKey]bool, len(rows))
	return slices.DeleteFunc(rows, func(r store.Row) bool {
		before := seen[r.Key]
		seen[r.Key] = true
		return before
	})
}

// some counts the matches among the first rows as they come. It is -1 when those are
// fewer than most, and there are more rows.
func (d Dialect) some(work Work, most, rows int64) Statement {
	w := &writer{d: d}
	q := w.selection()
	key := q.keys(work.root)
	var f fragment
	f.add("SELECT CASE WHEN count(DISTINCT n.row_key) >= ? OR count(*) < ? THEN least(count(DISTINCT n.row_key), ?) ELSE -1 END FROM (\n", most, rows, most)
	q.write(&f, key)
	f.add("\nLIMIT ?\n) AS n", rows)
	return d.statement(&f)
}

// counted counts up to most. SQLite drops repetitions as they come and stops early;
// PostgreSQL would gather everything first, so it is given some of the rows.
func (d Dialect) counted(ctx context.Context, work Work, most int64, in Session) (int64, error) {
	if d == PostgreSQL && most > 0 && work.root.streams() && work.root.unsure(most) {
		for _, times := range []int64{spare, more} {
			if n, err := in.total(ctx, d.some(work, most, times*most)); err != nil || n >= 0 {
				return n, err
			}
		}
	}
	return in.total(ctx, d.Total(work, most))
}

// streams reports whether the rows of a conjunction come in no order, and so some of
// them repeatedly.
func (s *step) streams() bool { return s.driver >= 0 && !s.kids[s.driver].sorted() }

// unsure reports whether the rows of a conjunction may be more than most: then it is
// faster to count them as they come than to gather them.
func (s *step) unsure(most int64) bool {
	kid := s.kids[s.driver]
	return !kid.exact || kid.counted > most
}

// settled reports whether there is nothing to decide about a conjunction that is to be
// streamed: one condition alone can drive, and so on within it. Then no count is made.
func (s *step) settled() bool {
	candidates := 0
	for _, kid := range s.kids {
		if kid.cost() == never {
			continue
		}
		if candidates++; candidates > 1 || !kid.settledSet() {
			return false
		}
	}
	return candidates == 1
}

// settledSet is the same of a step that gives a set.
func (s *step) settledSet() bool {
	switch s.node.(type) {
	case plan.And:
		return s.settled()
	case plan.Chain, plan.Has:
		return s.kids[0].settled()
	case plan.Or:
		return !slices.ContainsFunc(s.kids, func(kid *step) bool { return !kid.settledSet() })
	}
	_, needle := s.partOf()
	return needle == "" || len(index.Probes(needle)) == 1
}
