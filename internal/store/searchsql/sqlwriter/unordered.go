package sqlwriter

import (
	"muster/internal/store/searchsql/physical"
)

// UnorderedPage writes the statement that reads rows as the driving condition produces
// them, up to limit. Nothing is materialized, so an unordered query can stop after a
// few rows. SQLite drops duplicates as it reads; PostgreSQL would materialize all rows
// to do so, so its statement may return duplicates. The columns are [RowColumns].
func (d Dialect) UnorderedPage(p physical.Plan, limit int) Statement {
	w := &writer{dialect: d}
	q := w.newQuery()
	row := q.joinUnordered(p.Root)
	distinct := ""
	if d == SQLite && p.Unordered() {
		distinct = "DISTINCT "
	}
	var f fragment
	q.write(&f, distinct+rowColumns(row))
	f.add("\nLIMIT ?", limit)
	return d.statement(&f)
}

// joinUnordered adds the rows of a driven conjunction, possibly with duplicates, and
// returns the alias of table resource.
func (q *query) joinUnordered(root *physical.Step) (row string) {
	key, row := q.joinSet(root.Children[root.Driving])
	if row == "" {
		row = q.joinResource(key)
	}
	q.check(checksExcept(root, root.Driving), row)
	return row
}
