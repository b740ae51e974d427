package sqlite

import (
	"cmp"
	"database/sql"
	"slices"

	"muster/internal/search/index"
	"muster/internal/store"
)

// indexTable describes one of the tables ix_….
type indexTable struct {
	kind    index.Kind
	name    string
	columns []string // after row_key and param, in the order of the keys
}

var indexTables = []*indexTable{
	{index.Token, "ix_token", []string{"code", "system"}},
	{index.String, "ix_string", []string{"norm", "exact"}},
	{index.Date, "ix_date", []string{"low", "high"}},
	{index.Reference, "ix_reference", []string{"id", "type"}},
	{index.URI, "ix_uri", []string{"value"}},
}

// indexRow is a row of any index table. The fields that a kind does not use are
// empty, so that rows can be compared.
type indexRow struct {
	key    store.RowKey
	param  int64
	text   string // code, norm, id or value
	second string // exact
	number int64  // system, low or type
	high   int64
}

// values appends the columns of the row.
func (t *indexTable) values(dst []any, r indexRow) []any {
	dst = append(dst, int64(r.key), r.param)
	switch t.kind {
	case index.Token, index.Reference:
		return append(dst, r.text, r.number)
	case index.String:
		return append(dst, r.text, r.second)
	case index.Date:
		return append(dst, r.number, r.high)
	default:
		return append(dst, r.text)
	}
}

// scan reads a row of the table.
func (t *indexTable) scan(rows *sql.Rows) (r indexRow, err error) {
	switch t.kind {
	case index.Token, index.Reference:
		err = rows.Scan(&r.key, &r.param, &r.text, &r.number)
	case index.String:
		err = rows.Scan(&r.key, &r.param, &r.text, &r.second)
	case index.Date:
		err = rows.Scan(&r.key, &r.param, &r.number, &r.high)
	default:
		err = rows.Scan(&r.key, &r.param, &r.text)
	}
	return r, err
}

// sortRows orders rows as the value indexes do, so that each page of an index is
// touched once, and drops repetitions.
func sortRows(rows []indexRow) []indexRow {
	slices.SortFunc(rows, func(a, b indexRow) int {
		if c := cmp.Compare(a.param, b.param); c != 0 {
			return c
		}
		if c := cmp.Compare(a.text, b.text); c != 0 {
			return c
		}
		if c := cmp.Compare(a.second, b.second); c != 0 {
			return c
		}
		if c := cmp.Compare(a.number, b.number); c != 0 {
			return c
		}
		if c := cmp.Compare(a.high, b.high); c != 0 {
			return c
		}
		return cmp.Compare(a.key, b.key)
	})
	return slices.Compact(rows)
}
