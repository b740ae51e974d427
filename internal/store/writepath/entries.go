package writepath

import (
	"cmp"
	"iter"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// Table describes an index table (ix_…).
type Table struct {
	Kind    index.Kind
	Name    string
	Columns []string // after row_key and param, in the order of the keys
}

// Tables are the index tables.
var Tables = []*Table{
	{index.Token, "ix_token", []string{"code", "system"}},
	{index.String, "ix_string", []string{"norm", "exact"}},
	{index.Date, "ix_date", []string{"low", "high"}},
	{index.Reference, "ix_reference", []string{"id", "type"}},
	{index.URI, "ix_uri", []string{"value"}},
	{index.Number, "ix_number", []string{"value"}},
	{index.Location, "ix_position", []string{"cell", "lat", "lon"}},
}

// Row is a row of an index table of any kind. The fields that the kind does not use are
// zero, so that rows are comparable.
type Row struct {
	Key    store.RowKey
	Param  int64
	Text   string // code, norm, id or value
	Second string // exact
	Number int64  // system, low, type, value or cell
	High   int64
	Place  index.Position
}

// Fields returns pointers to the columns of a row of the table, row_key and param first, for
// Scan.
func (t *Table) Fields(r *Row) []any {
	fields := []any{(*int64)(&r.Key), &r.Param}
	switch t.Kind {
	case index.Token, index.Reference:
		return append(fields, &r.Text, &r.Number)
	case index.String:
		return append(fields, &r.Text, &r.Second)
	case index.Date:
		return append(fields, &r.Number, &r.High)
	case index.Number:
		return append(fields, &r.Number)
	case index.Location:
		return append(fields, &r.Number, &r.Place.Latitude, &r.Place.Longitude)
	default:
		return append(fields, &r.Text)
	}
}

// Values appends the values of the columns of the row to dst, row_key and param first.
func (t *Table) Values(dst []any, r Row) []any {
	dst = append(dst, int64(r.Key), r.Param)
	switch t.Kind {
	case index.Token, index.Reference:
		return append(dst, r.Text, r.Number)
	case index.String:
		return append(dst, r.Text, r.Second)
	case index.Date:
		return append(dst, r.Number, r.High)
	case index.Number:
		return append(dst, r.Number)
	case index.Location:
		return append(dst, r.Number, r.Place.Latitude, r.Place.Longitude)
	default:
		return append(dst, r.Text)
	}
}

// Rows returns the rows of the new versions in the table, each once, in the order of its
// value index. nameID returns the id of a text in table name. It leaves out the dependants whose
// difference is known.
func (t *Table) Rows(items []Item, nameID func(text string) (int64, error)) ([]Row, error) {
	return t.rows(items, nameID, func(it *Item) []index.Entry {
		if it.differs != nil {
			return nil
		}
		_, entries := it.Stored()
		return entries
	})
}

// Differences returns the rows by which the new versions of those items differ from the current
// ones that [Table.Rows] leaves out, in the same order.
func (t *Table) Differences(items []Item, nameID func(text string) (int64, error)) (added, gone []Row, err error) {
	added, err = t.rows(items, nameID, func(it *Item) []index.Entry {
		if it.differs == nil {
			return nil
		}
		return it.differs.Added
	})
	if err != nil {
		return nil, nil, err
	}
	gone, err = t.rows(items, nameID, func(it *Item) []index.Entry {
		if it.differs == nil {
			return nil
		}
		return it.differs.Gone
	})
	return added, gone, err
}

// rows returns the rows of entries of the new versions.
func (t *Table) rows(items []Item, nameID func(text string) (int64, error), entriesOf func(*Item) []index.Entry) ([]Row, error) {
	n := 0
	for range t.entries(items, entriesOf) {
		n++
	}
	all := make([]Row, 0, n) // rows are large: do not copy them while the list grows
	for it, e := range t.entries(items, entriesOf) {
		row, err := newRow(it.Key, e, nameID)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return sortUnique(all), nil
}

// entries yields the entries of new versions that are rows of the table.
func (t *Table) entries(items []Item, entriesOf func(*Item) []index.Entry) iter.Seq2[*Item, *index.Entry] {
	return func(yield func(*Item, *index.Entry) bool) {
		for i := range items {
			if !items[i].Written() {
				continue
			}
			entries := entriesOf(&items[i])
			for j := range entries {
				if entries[j].Kind == t.Kind && !yield(&items[i], &entries[j]) {
					return
				}
			}
		}
	}
}

func newRow(key store.RowKey, e *index.Entry, nameID func(string) (int64, error)) (Row, error) {
	r := Row{Key: key, Param: int64(e.Param)}
	var err error
	switch e.Kind {
	case index.Token, index.Reference:
		r.Text = e.Code
		r.Number, err = nameID(e.System)
	case index.String:
		r.Text, r.Second = e.Norm, e.Exact
	case index.Date:
		r.Number, r.High = int64(e.Period.From), int64(e.Period.To)
	case index.Number:
		r.Number = e.Number
	case index.Location:
		r.Number, r.Place = e.Position.Cell(), e.Position
	case index.URI:
		r.Text = e.Code
	}
	return r, err
}

// Named reports whether [Row].Number of the table is the id of a text in table name.
func (t *Table) Named() bool { return t.Kind == index.Token || t.Kind == index.Reference }

// Entry returns the index entry of a row. name is the text of its number if the table is
// [Table.Named].
func (t *Table) Entry(r Row, name string) index.Entry {
	e := index.Entry{Kind: t.Kind, Param: int(r.Param)}
	switch t.Kind {
	case index.Token, index.Reference:
		e.Code, e.System = r.Text, name
	case index.String:
		e.Norm, e.Exact = r.Text, r.Second
	case index.Date:
		e.Period = fhir.Period{From: fhir.Instant(r.Number), To: fhir.Instant(r.High)}
	case index.Number:
		e.Number = r.Number
	case index.Location:
		e.Position = r.Place
	default:
		e.Code = r.Text
	}
	return e
}

// sortUnique sorts rows in the order of the value indexes, so that each page of an index is
// written once, and drops duplicates.
func sortUnique(rows []Row) []Row {
	slices.SortFunc(rows, compare)
	return slices.Compact(rows)
}

func compare(a, b Row) int {
	return cmp.Or(
		cmp.Compare(a.Param, b.Param), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Second, b.Second),
		cmp.Compare(a.Number, b.Number), cmp.Compare(a.High, b.High),
		cmp.Compare(a.Place.Latitude, b.Place.Latitude), cmp.Compare(a.Place.Longitude, b.Place.Longitude),
		cmp.Compare(a.Key, b.Key),
	)
}

// Diff returns the rows that are to be inserted and those that are to be deleted, so that a
// table that holds stored then holds wanted, in the order of wanted. It reuses the array of wanted.
func Diff(wanted, stored []Row) (missing, extra []Row) {
	unmatched := make(map[Row]bool, len(stored))
	for _, r := range stored {
		unmatched[r] = true
	}
	missing = wanted[:0]
	for _, r := range wanted {
		if unmatched[r] {
			delete(unmatched, r)
		} else {
			missing = append(missing, r)
		}
	}
	for _, r := range stored {
		if unmatched[r] {
			extra = append(extra, r)
		}
	}
	return missing, sortUnique(extra)
}

// ByValue yields the values of rows, each with the keys of the rows that have it, of which
// [Row].Key is one. The rows with a value must follow each other, as [Table.Rows] sorts them.
func ByValue(rows []Row) iter.Seq2[Row, []store.RowKey] {
	return func(yield func(Row, []store.RowKey) bool) {
		var keys []store.RowKey
		for i, r := range rows {
			keys = append(keys, r.Key)
			last := i+1 == len(rows)
			if !last {
				next := rows[i+1]
				next.Key = r.Key
				last = next != r
			}
			if last {
				if !yield(r, keys) {
					return
				}
				keys = nil
			}
		}
	}
}
