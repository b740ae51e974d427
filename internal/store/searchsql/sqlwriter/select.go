package sqlwriter

import (
	"muster/internal/store/searchsql/physical"
)

// Select writes the statement that selects row_key and size of all rows, each once, in
// ascending order of row_key.
func (d Dialect) Select(p physical.Plan) Statement {
	w := &writer{dialect: d}
	q := w.newQuery()
	orderBy := q.materialize(p.Root)
	var f fragment
	q.write(&f, "r.row_key, r.size")
	f.add("\nORDER BY " + orderBy)
	return d.statement(&f)
}

// materialize adds the rows of a conjunction, each once, under the alias r of table
// resource. It returns the column in whose order the rows can be read.
func (q *query) materialize(root *physical.Step) (orderBy string) {
	switch {
	case root.Driving == physical.NotDriven:
		q.join("resource AS r"+q.w.dialect.rowKeyHint(), keyRange("r", root.ResourceType))
	case root.Children[root.Driving].RowKeyOrdered():
		return q.scanOrdered(root, root.Driving) // no list is needed
	default:
		q.joinMaterialized(root.Children[root.Driving])
	}
	q.check(checksExcept(root, root.Driving), "r")
	return "r.row_key"
}

// joinMaterialized adds the rows of the driving condition, materialized as a list
// without duplicates.
func (q *query) joinMaterialized(driving *physical.Step) {
	set := q.w.writeSet(driving)
	if q.w.dialect == SQLite {
		// SQLite materializes the list sorted and without duplicates, and looks up the
		// rows in its order.
		var on fragment
		on.add("r.row_key IN (\n")
		on.append(set)
		on.add("\n)")
		q.join("resource AS r"+q.w.dialect.rowKeyHint(), &on)
		return
	}
	list := q.w.alias()
	q.join("(SELECT DISTINCT s.row_key FROM (\n"+set.text.String()+"\n) AS s) AS "+list, &fragment{}, set.args...)
	q.join("resource AS r", newFragment("r.row_key = "+list+".row_key"))
}

// scanByRowKey adds the rows of a conjunction, each once, in ascending order of the row
// key and without materializing them. A query that stops early reads few rows.
func (q *query) scanByRowKey(root *physical.Step) (orderBy string) {
	if root.Driving != physical.NotDriven && root.Children[root.Driving].RowKeyOrdered() {
		return q.scanOrdered(root, root.Driving)
	}
	for i, child := range root.Children {
		if child.RowKeyOrdered() {
			return q.scanOrdered(root, i)
		}
	}
	q.join("resource AS r"+q.w.dialect.rowKeyHint(), keyRange("r", root.ResourceType))
	q.check(checksFor(root), "r")
	return "r.row_key"
}

// scanOrdered adds the rows of a conjunction through the child whose index returns them
// in order of the row key.
func (q *query) scanOrdered(root *physical.Step, child int) (orderBy string) {
	key, _ := q.joinSet(root.Children[child])
	q.join("resource AS r"+q.w.dialect.rowKeyHint(), newFragment("r.row_key = "+key))
	q.check(checksExcept(root, child), "r")
	return key
}
