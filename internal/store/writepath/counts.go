package writepath

import (
	"cmp"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// CountChange says by how much the number of the resources of a type with a visibility changes.
// Table resource_count keeps these numbers apart from the rows, so that lost rows are noticed.
type CountChange struct {
	Type       fhir.Type
	Visibility index.Visibility
	By         int64
}

// CountChanges returns the changes of the numbers by the outcomes of a chunk.
func CountChanges(items []Item) (changes []CountChange) {
	type group struct {
		t fhir.Type
		v index.Visibility
	}
	by := map[group]int64{}
	for i := range items {
		it := &items[i]
		if it.Outcome == store.Updated || it.Outcome == store.Removed {
			by[group{it.Type, it.Before}]--
		}
		if it.Written() {
			by[group{it.Type, it.State()}]++
		}
	}
	for g, n := range by {
		if n != 0 {
			changes = append(changes, CountChange{g.t, g.v, n})
		}
	}
	slices.SortFunc(changes, func(a, b CountChange) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Visibility, b.Visibility))
	})
	return changes
}

// NewRow returns the row and the line of the new version of an item.
func NewRow(it *Item, committed fhir.Instant) (store.Row, []byte) {
	row := store.Row{
		Key: it.Key, ID: it.ID, Version: it.Version + 1, Committed: committed, LastUpdated: it.LastUpdatedAt(committed), Visibility: it.State(),
	}
	if it.Committed == committed { // the transaction has written the current row
		row.Version = it.Version
	}
	document, _ := it.Stored()
	line := document.Line(row.Version, row.LastUpdated)
	row.Size = int64(len(line) + 1)
	return row, line
}
