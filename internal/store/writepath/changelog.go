package writepath

import (
	"cmp"
	"slices"

	"muster/internal/search/index"
	"muster/internal/store"
)

// Logged returns the entries of the change log for the outcomes of a chunk, without their time,
// in ascending order of keys: they are appended to a table in that order.
func Logged(items []Item) (entries []store.Logged) {
	for i := range items {
		if what := whatHappened(&items[i]); what != 0 {
			entries = append(entries, store.Logged{Key: items[i].Key, What: what})
		}
	}
	slices.SortFunc(entries, func(a, b store.Logged) int { return cmp.Compare(a.Key, b.Key) })
	return entries
}

// whatHappened returns what the outcome of an item did, 0 for nothing.
func whatHappened(it *Item) (what store.What) {
	switch it.Outcome {
	case store.Created:
		return store.WasCreated
	case store.Removed:
		return store.WasRemoved
	case store.Updated:
	default:
		return 0
	}
	for _, state := range []struct {
		flag         index.Visibility
		begins, ends store.What
	}{
		{index.Suppressed, store.WasSuppressed, store.WasLifted},
		{index.Inactive, store.WasDeactivated, store.WasReactivated},
	} {
		switch before, after := it.Before&state.flag, it.State()&state.flag; {
		case after > before:
			what |= state.begins
		case after < before:
			what |= state.ends
		}
	}
	return cmp.Or(what, store.WasUpdated)
}

// The statements of a sweep of the change log. Their arguments are a time and a number.
const (
	// LogIsOld reports whether there are entries from before the time.
	LogIsOld = `SELECT EXISTS (SELECT 1 FROM change WHERE committed < ?)`
	// SweepLog deletes the oldest entries from before the time, about as many as the number:
	// those of one commit together.
	SweepLog = `DELETE FROM change WHERE committed <= (SELECT max(committed) FROM
		(SELECT committed FROM change WHERE committed < ? ORDER BY committed LIMIT ?) AS oldest)`
)
