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
func whatHappened(it *Item) store.What {
	switch it.Outcome {
	case store.Created:
		return store.WasCreated | stateOf(it)
	case store.Removed:
		return store.WasRemoved
	case store.Updated:
		return cmp.Or(stateChange(it), store.WasUpdated) | stateOf(it)
	default:
		return 0
	}
}

// logged are the flags of the change log for the flags of a state.
var logged = []struct {
	flag                         index.Visibility
	begins, ends, own, inherited store.What
}{
	{index.Suppressed, store.WasSuppressed, store.WasLifted, store.OwnSuppressed, store.InheritedSuppressed},
	{index.Inactive, store.WasDeactivated, store.WasReactivated, store.OwnInactive, store.InheritedInactive},
}

// stateChange returns how the state of an updated item changes, 0 if it stays.
func stateChange(it *Item) (what store.What) {
	for _, l := range logged {
		switch before, after := it.Before&l.flag, it.State()&l.flag; {
		case after > before:
			what |= l.begins
		case after < before:
			what |= l.ends
		}
	}
	return what
}

// stateOf returns the state of the new version of an item.
func stateOf(it *Item) (what store.What) {
	for _, l := range logged {
		if it.Visibility&l.flag != 0 {
			what |= l.own
		}
		if it.Inherited&l.flag != 0 {
			what |= l.inherited
		}
	}
	return what
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
