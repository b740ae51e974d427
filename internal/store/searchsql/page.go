package searchsql

import (
	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// Page writes the statements that find the first limit rows in the order asked for.
// They are to be run one after the other until there are limit rows: a later one
// gives rows that come behind those of an earlier one. Their columns are row_key,
// id, version, committed, last_updated, visibility and size.
//
// A set that is small enough is gathered and sorted. When the sets are broad, the
// index of the first key is walked in its order instead, and each row is checked.
func (d Dialect) Page(work Work, order []plan.Order, limit int) []Statement {
	ways := []way{func(q *selection) *fragment { return q.sorted(work.root, order) }}
	if work.broad || work.root.driver < 0 {
		ways = walks(work.root, order)
	}
	var statements []Statement
	for _, rows := range ways {
		w := &writer{d: d}
		q := w.selection()
		by := rows(q)
		var f fragment
		q.write(&f, columns("r"))
		f.add("\nORDER BY ")
		f.put(by)
		f.add("\nLIMIT ?", limit)
		statements = append(statements, d.statement(&f))
	}
	return statements
}

// way adds the rows of a page and returns what they are ordered by.
type way func(q *selection) *fragment

// sorted gathers all rows, for the database to sort them.
func (q *selection) sorted(root *step, order []plan.Order) *fragment {
	byKey := q.gather(root, "r")
	if len(order) == 0 {
		return condition(byKey)
	}
	return q.w.orderBy(order)
}

// walks returns the ways to the rows in an order that an index has, one behind the
// other. Where no index has the order, everything is sorted after all.
func walks(root *step, order []plan.Order) []way {
	switch {
	case len(order) == 0:
		return []way{func(q *selection) *fragment { return condition(q.walk(root)) }}
	case order[0].By == plan.ByID:
		return []way{func(q *selection) *fragment { return q.walkColumn(root, "resource_id", order) }}
	case order[0].By == plan.ByUpdated:
		return []way{func(q *selection) *fragment { return q.walkColumn(root, "resource_updated", order) }}
	case order[0].Kind == index.Location:
		return []way{func(q *selection) *fragment { return q.sorted(root, order) }}
	}
	ways := []way{func(q *selection) *fragment { return q.walkValues(root, order) }}
	if !root.wants(order[0]) {
		ways = append(ways, func(q *selection) *fragment { return q.walkMissing(root, order) })
	}
	return ways
}

// wants reports whether a conjunction holds only for rows with a value of the key.
func (s *step) wants(o plan.Order) bool {
	for _, kid := range s.kids {
		if param, kind, ok := entryOf(kid.node); ok && param == o.Param && kind == o.Kind {
			return true
		}
	}
	return false
}

// walkColumn adds the rows in the order of an index of table resource.
func (q *selection) walkColumn(root *step, name string, order []plan.Order) *fragment {
	q.read("resource AS r"+q.w.d.index(name), condition("r.type = ?", int64(root.of)))
	q.check(root.all(), "r")
	return q.w.orderBy(order)
}

// walkValues adds the rows with a value of the first key, in the order of the
// values: each where its least or greatest value stands.
func (q *selection) walkValues(root *step, order []plan.Order) *fragment {
	first, table := order[0], tables[order[0].Kind]
	a, other := q.w.alias(), q.w.alias()
	on := condition(a+".param = ? AND ", first.Param)
	on.put(keyRange(a, root.of))
	q.read(table.name+" AS "+a+q.w.d.index(table.name+"_value"), on)
	q.read("resource AS r"+q.w.d.byKey(), condition("r.row_key = "+a+".row_key"))
	before, direction := "<", ""
	if first.Descending {
		before, direction = ">", " DESC"
	}
	q.hold(condition("NOT EXISTS (SELECT 1 FROM "+table.name+" AS "+other+q.w.d.rowFirst(table.name)+" WHERE "+
		other+".row_key = "+a+".row_key AND "+other+".param = ? AND "+
		table.value(other)+" "+before+" "+table.value(a)+q.w.d.exists(), first.Param))
	q.check(root.all(), "r")
	by := condition(a + "." + table.key + direction + ", ")
	by.put(q.w.orderBy(order[1:]))
	return by
}

// value writes the columns of an entry of the table.
func (t table) value(a string) string {
	if t.rest == "" {
		return a + "." + t.key
	}
	return "(" + a + "." + t.key + ", " + a + "." + t.rest + ")"
}

// walkMissing adds the rows without a value of the first key.
func (q *selection) walkMissing(root *step, order []plan.Order) *fragment {
	q.read("resource AS r"+q.w.d.index("resource_id"), condition("r.type = ?", int64(root.of)))
	var none fragment
	none.add("NOT ")
	q.w.exists(&none, plan.Present{Param: order[0].Param, Kind: order[0].Kind}, "r")
	q.hold(&none)
	q.check(root.all(), "r")
	return q.w.orderBy(order[1:])
}

// orderBy writes the keys, each computed for the row, and the id at last. Behind
// _lastUpdated it is the row key, in which the index goes on: a batch has one time.
func (w *writer) orderBy(order []plan.Order) *fragment {
	var f fragment
	for _, o := range order {
		w.sortKey(&f, o)
		if o.Descending {
			f.add(" DESC")
		}
		if o.By == "" {
			f.add(" NULLS LAST")
		}
		f.add(", ")
	}
	if n := len(order); n > 0 && order[n-1].By == plan.ByUpdated {
		f.add("r.row_key")
		if order[n-1].Descending {
			f.add(" DESC")
		}
		return &f
	}
	f.add("r.id")
	return &f
}

// sortKey writes what a row is sorted by.
func (w *writer) sortKey(f *fragment, o plan.Order) {
	switch o.By {
	case plan.ByID:
		f.add("r.id")
		return
	case plan.ByUpdated:
		f.add("r.last_updated")
		return
	}
	extreme := "min("
	if o.Descending {
		extreme = "max("
	}
	a, table := w.alias(), tables[o.Kind]
	f.add("(SELECT " + extreme)
	if o.Kind == index.Location && o.Point != nil {
		haversine(f, a, *o.Point)
	} else {
		f.add(a + "." + table.key)
	}
	f.add(") FROM "+table.name+" AS "+a+w.d.rowFirst(table.name)+" WHERE "+a+".row_key = r.row_key AND "+a+".param = ?)", o.Param)
}
