package sqlwriter

import (
	"strings"

	"muster/internal/fhir"
	"muster/internal/store"
)

// query is a SELECT under construction: its tables, in order of execution, and its
// conditions.
type query struct {
	w           *writer
	from, where fragment
}

func (w *writer) newQuery() *query { return &query{w: w} }

// join appends a table to the FROM clause. on is the condition that selects its rows; args are
// the arguments of the placeholders in table.
func (q *query) join(table string, on *fragment, args ...any) {
	if q.from.text.Len() == 0 {
		q.from.add(table, args...)
		q.filter(on)
		return
	}
	before, between, after := q.w.dialect.nestedJoin(table)
	q.from.add("\n  "+before+table+between, args...)
	q.from.append(on)
	q.from.add(after)
}

// filter adds a condition to the WHERE clause.
func (q *query) filter(condition *fragment) {
	if condition.text.Len() == 0 {
		return
	}
	q.where.separate("\n  AND ")
	q.where.append(condition)
}

// write appends the SELECT of the columns to f.
func (q *query) write(f *fragment, columns string) {
	f.add("SELECT " + columns + "\nFROM ")
	f.append(&q.from)
	if q.where.text.Len() > 0 {
		f.add("\nWHERE ")
		f.append(&q.where)
	}
}

// joinResource adds the row of table resource with the row key.
func (q *query) joinResource(rowKey string) (row string) {
	row = q.w.alias()
	q.join("resource AS "+row+q.w.dialect.rowKeyHint(), newFragment(row+".row_key = "+rowKey))
	return row
}

// keyRange returns the condition that the row key of a row or entry belongs to a type.
func keyRange(alias string, t fhir.Type) *fragment {
	first, last := store.KeyRange(t)
	return newFragment(alias+".row_key BETWEEN ? AND ?", int64(first), int64(last))
}

// RowColumns lists the columns of a [store.Row], read from table resource AS r.
const RowColumns = "r.row_key, r.id, r.version, r.committed, r.last_updated, r.visibility, r.size"

// rowColumns returns [RowColumns] for another alias of table resource.
func rowColumns(row string) string { return strings.ReplaceAll(RowColumns, "r.", row+".") }
