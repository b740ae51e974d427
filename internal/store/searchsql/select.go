package searchsql

import (
	"muster/internal/search/plan"
)

// Select writes the statement that selects row_key and size, ascending and each
// row once.
func (d Dialect) Select(work Work) Statement {
	w := &writer{d: d}
	q := w.selection()
	order := q.gather(work.root, "r")
	var f fragment
	q.write(&f, "r.row_key, r.size")
	f.add("\nORDER BY " + order)
	return d.statement(&f)
}

// Total writes the statement that counts the rows up to most, or all of them if
// most is negative.
func (d Dialect) Total(work Work, most int64) Statement {
	w := &writer{d: d}
	q := w.selection()
	columns := "1"
	switch {
	case d == SQLite && most > 0 && work.root.streams() && work.root.unsure(most):
		// SQLite drops repetitions as it goes along, and so stops early.
		columns = "DISTINCT " + q.keys(work.root)
	case most < 0 || !work.broad:
		q.gather(work.root, "r")
	default:
		q.walk(work.root)
	}
	var f fragment
	if most < 0 {
		q.write(&f, "count(*)")
		return d.statement(&f)
	}
	f.add("SELECT count(*) FROM (\n")
	q.write(&f, columns)
	f.add("\nLIMIT ?\n) AS n", most)
	return d.statement(&f)
}

// gather adds the rows of a conjunction, each once, under an alias of table
// resource; it returns the column that they can be read in the order of.
func (q *selection) gather(root *step, row string) (order string) {
	switch {
	case root.driver < 0:
		q.read("resource AS "+row+q.w.d.byKey(), keyRange(row, root.of))
	case root.kids[root.driver].sorted():
		// One run of the index: its rows come in order, so nothing is gathered first.
		return q.run(root, root.driver, row)
	default:
		q.gathered(root, row)
	}
	q.check(root.checks(), row)
	return row + ".row_key"
}

// gathered adds the rows of what drives as a list that is made first.
func (q *selection) gathered(root *step, row string) {
	set := q.w.set(root.kids[root.driver])
	if q.w.d == SQLite {
		// SQLite gathers the list sorted and each key once, and looks up in its order.
		var on fragment
		on.add(row + ".row_key IN (\n")
		on.put(set)
		on.add("\n)")
		q.read("resource AS "+row+q.w.d.byKey(), &on)
		return
	}
	d := q.w.alias()
	q.read("(SELECT DISTINCT s.row_key FROM (\n"+set.text.String()+"\n) AS s) AS "+d, &fragment{}, set.args...)
	q.read("resource AS "+row, condition(row+".row_key = "+d+".row_key"))
}

// run adds the rows of one condition whose index gives them in order.
func (q *selection) run(root *step, driver int, row string) (order string) {
	key, _ := q.rows(root.kids[driver])
	q.read("resource AS "+row+q.w.d.byKey(), condition(row+".row_key = "+key))
	q.check(root.but(driver), row)
	return key
}

// walk adds the rows of a conjunction in order and each once, without gathering
// them first: who stops early has read little.
func (q *selection) walk(root *step) (order string) {
	if root.driver >= 0 && root.kids[root.driver].sorted() {
		return q.run(root, root.driver, "r")
	}
	for i, kid := range root.kids {
		if kid.sorted() {
			return q.run(root, i, "r")
		}
	}
	q.read("resource AS r"+q.w.d.byKey(), keyRange("r", root.of))
	q.check(root.all(), "r")
	return "r.row_key"
}

// keys adds the rows of a conjunction, some of them repeatedly, and returns where
// their key stands.
func (q *selection) keys(root *step) (key string) {
	key, row := q.rows(root.kids[root.driver])
	if checks := root.checks(); len(checks) > 0 {
		if row == "" {
			row = q.resource(key)
		}
		q.check(checks, row)
	}
	return key
}

// but lists the conditions of a conjunction without one of them.
func (s *step) but(driver int) []*step {
	rest := step{node: plan.And{}, kids: s.kids, driver: driver}
	return rest.checks()
}
