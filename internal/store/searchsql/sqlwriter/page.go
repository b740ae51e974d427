package sqlwriter

import (
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/physical"
)

// Page writes the statements that read the first rows in the requested order, up to
// limit. Run them in sequence until there are limit rows: the rows of each statement
// sort after those of the statements before it. The columns are [RowColumns].
//
// If the driving set is small, it is materialized and sorted. Otherwise the index of
// the first sort key is scanned in its order and each row is checked.
func (d Dialect) Page(p physical.Plan, order []plan.Order, limit int) []Statement {
	sources := []pageSource{func(q *query) *fragment { return q.materializeSorted(p.Root, order) }}
	if p.LargeDrivingSet || !p.Driven() {
		sources = indexScans(p.Root, order)
	}
	var statements []Statement
	for _, addRows := range sources {
		w := &writer{dialect: d}
		q := w.newQuery()
		orderBy := addRows(q)
		var f fragment
		q.write(&f, RowColumns)
		f.add("\nORDER BY ")
		f.append(orderBy)
		f.add("\nLIMIT ?", limit)
		statements = append(statements, d.statement(&f))
	}
	return statements
}

// A pageSource adds the rows of a page, under the alias r of table resource, and returns
// the ORDER BY clause.
type pageSource func(q *query) *fragment

// materializeSorted adds all rows, for the database to sort.
func (q *query) materializeSorted(root *physical.Step, order []plan.Order) *fragment {
	key := q.materialize(root)
	if len(order) == 0 {
		return newFragment(key)
	}
	return q.w.orderBy(order)
}

// indexScans returns the scans that together produce the rows in the requested order.
// If no index has that order, all rows are materialized and sorted.
func indexScans(root *physical.Step, order []plan.Order) []pageSource {
	switch {
	case len(order) == 0:
		return []pageSource{func(q *query) *fragment { return newFragment(q.scanByRowKey(root)) }}
	case order[0].By == plan.ByID:
		return []pageSource{func(q *query) *fragment { return q.scanResources(root, "resource_id", order) }}
	case order[0].By == plan.ByUpdated:
		return []pageSource{func(q *query) *fragment { return q.scanResources(root, "resource_updated", order) }}
	case order[0].Kind == index.Location:
		return []pageSource{func(q *query) *fragment { return q.materializeSorted(root, order) }}
	}
	scans := []pageSource{func(q *query) *fragment { return q.scanValues(root, order) }}
	if !requiresValue(root, order[0]) {
		scans = append(scans, func(q *query) *fragment { return q.scanWithoutValue(root, order) })
	}
	return scans
}

// requiresValue reports whether a conjunction only matches rows with a value of the
// sort key.
func requiresValue(root *physical.Step, o plan.Order) bool {
	for _, child := range root.Children {
		if param, kind, ok := entryOf(child.Node); ok && param == o.Param && kind == o.Kind {
			return true
		}
	}
	return false
}

// scanResources adds the rows in the order of an index of table resource.
func (q *query) scanResources(root *physical.Step, indexName string, order []plan.Order) *fragment {
	q.join("resource AS r"+q.w.dialect.indexHint(indexName), newFragment("r.type = ?", int64(root.ResourceType)))
	q.check(checksFor(root), "r")
	return q.w.orderBy(order)
}

// scanValues adds the rows with a value of the first sort key, in the order of the
// values. A row with several values is placed by its least value, or by its greatest if
// the order is descending.
func (q *query) scanValues(root *physical.Step, order []plan.Order) *fragment {
	first, table := order[0], indexTables[order[0].Kind]
	alias, other := q.w.alias(), q.w.alias()
	on := newFragment(alias+".param = ? AND ", first.Param)
	on.append(keyRange(alias, root.ResourceType))
	q.join(table.name+" AS "+alias+q.w.dialect.indexHint(table.name+"_value"), on)
	q.join("resource AS r"+q.w.dialect.rowKeyHint(), newFragment("r.row_key = "+alias+".row_key"))
	before, direction := "<", ""
	if first.Descending {
		before, direction = ">", " DESC"
	}
	q.filter(newFragment("NOT EXISTS (SELECT 1 FROM "+table.name+" AS "+other+q.w.dialect.rowFirstHint(table.name)+" WHERE "+
		other+".row_key = "+alias+".row_key AND "+other+".param = ? AND "+
		table.value(other)+" "+before+" "+table.value(alias)+q.w.dialect.endExists(), first.Param))
	q.check(checksFor(root), "r")
	orderBy := newFragment(alias + "." + table.key + direction + ", ")
	orderBy.append(q.w.orderBy(order[1:]))
	return orderBy
}

// value returns the value columns of an entry of the table.
func (t indexTable) value(alias string) string {
	if t.rest == "" {
		return alias + "." + t.key
	}
	return "(" + alias + "." + t.key + ", " + alias + "." + t.rest + ")"
}

// scanWithoutValue adds the rows without a value of the first sort key.
func (q *query) scanWithoutValue(root *physical.Step, order []plan.Order) *fragment {
	q.join("resource AS r"+q.w.dialect.indexHint("resource_id"), newFragment("r.type = ?", int64(root.ResourceType)))
	var absent fragment
	absent.add("NOT ")
	q.w.checkEntry(&absent, plan.Present{Param: order[0].Param, Kind: order[0].Kind}, "r")
	q.filter(&absent)
	q.check(checksFor(root), "r")
	return q.w.orderBy(order[1:])
}

// orderBy writes the sort keys, each computed for the row, and the id as the last key.
// After _lastUpdated the last key is the row key instead: all resources of a batch have
// the same _lastUpdated, and the index continues with the row key.
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

// sortKey writes the expression of one sort key.
func (w *writer) sortKey(f *fragment, o plan.Order) {
	switch o.By {
	case plan.ByID:
		f.add("r.id")
		return
	case plan.ByUpdated:
		f.add("r.last_updated")
		return
	}
	aggregate := "min("
	if o.Descending {
		aggregate = "max("
	}
	alias, table := w.alias(), indexTables[o.Kind]
	f.add("(SELECT " + aggregate)
	if o.Kind == index.Location && o.Point != nil {
		writeHaversine(f, alias, *o.Point)
	} else {
		f.add(alias + "." + table.key)
	}
	f.add(") FROM "+table.name+" AS "+alias+w.dialect.rowFirstHint(table.name)+" WHERE "+alias+".row_key = r.row_key AND "+alias+".param = ?)", o.Param)
}
