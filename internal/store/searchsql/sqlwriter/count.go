package sqlwriter

import (
	"muster/internal/fhir"
	"muster/internal/store/searchsql/physical"
)

// Total writes the statement that counts the rows of a plan up to limit, or all rows if
// limit is negative.
func (d Dialect) Total(p physical.Plan, limit int64) Statement {
	w := &writer{dialect: d}
	q := w.newQuery()
	columns := "1"
	switch {
	case d == SQLite && limit > 0 && p.Unordered() && p.MayExceed(limit):
		// SQLite drops duplicates as it reads, so it stops early.
		columns = "DISTINCT " + q.joinRowKeys(p.Root)
	case limit < 0 || !p.LargeDrivingSet:
		q.materialize(p.Root)
	default:
		q.scanByRowKey(p.Root)
	}
	var f fragment
	if limit < 0 {
		q.write(&f, "count(*)")
		return d.statement(&f)
	}
	return d.countUpTo(limit, func(f *fragment) { q.write(f, columns) })
}

// CountPrefix writes the statement that counts the distinct matches among the first
// rows that the driving condition produces, up to limit. It returns -1 if these are
// fewer than limit and there are more rows.
func (d Dialect) CountPrefix(p physical.Plan, limit, rows int64) Statement {
	w := &writer{dialect: d}
	q := w.newQuery()
	key := q.joinRowKeys(p.Root)
	var f fragment
	f.add("SELECT CASE WHEN count(DISTINCT n.row_key) >= ? OR count(*) < ? THEN least(count(DISTINCT n.row_key), ?) ELSE -1 END FROM (\n", limit, rows, limit)
	q.write(&f, key)
	f.add("\nLIMIT ?\n) AS n", rows)
	return d.statement(&f)
}

// joinRowKeys adds the rows of a driven conjunction, possibly with duplicates, and
// returns the column with the row key.
func (q *query) joinRowKeys(root *physical.Step) (key string) {
	key, row := q.joinSet(root.Children[root.Driving])
	if checks := checksExcept(root, root.Driving); len(checks) > 0 {
		if row == "" {
			row = q.joinResource(key)
		}
		q.check(checks, row)
	}
	return key
}

// SetCount writes the statement that counts the rows of a step as a set, duplicates
// included, up to limit.
func (d Dialect) SetCount(s *physical.Step, limit int64) Statement {
	w := &writer{dialect: d}
	return d.countUpTo(limit, func(f *fragment) { f.append(w.writeSet(s)) })
}

// countUpTo writes the statement that counts the rows of a selection up to limit.
func (d Dialect) countUpTo(limit int64, writeSelection func(f *fragment)) Statement {
	var f fragment
	f.add("SELECT count(*) FROM (\n")
	writeSelection(&f)
	f.add("\nLIMIT ?\n) AS n", limit)
	return d.statement(&f)
}

// ProbeCount writes the statement that counts the texts of a parameter that contain a
// piece of a substring, up to limit.
func (d Dialect) ProbeCount(param int, probe string, limit int64) Statement {
	var f fragment
	f.add("SELECT count(*) FROM (SELECT 1 FROM ix_gram AS t1 WHERE t1.param = ?", param)
	writePrefix(&f, "t1.gram", probe)
	f.add(" LIMIT ?) AS n", limit)
	return d.statement(&f)
}

// TypeCount writes the statement that returns how many resources of a type were ever
// created: an upper bound of the resources of the type.
func (d Dialect) TypeCount(t fhir.Type) Statement {
	return d.statement(newFragment("SELECT coalesce((SELECT last FROM sequence WHERE type = ?), 0)", int64(t)))
}
