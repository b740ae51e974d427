package writepath

import (
	"bytes"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// Item is one change of a chunk on its way through the steps.
type Item struct {
	*store.Change
	Outcome store.Outcome
	Key     store.RowKey // of the current row, or the new one; 0 if there is none
	Version int64        // of the current row, or the last removal; 0 if there is none
	Hash    []byte       // source hash of the current row

	revised bool // a revision has made a new version
}

// Items begins the way of a chunk.
func Items(changes []store.Change) []Item {
	items := make([]Item, len(changes))
	for i := range changes {
		items[i].Change = &changes[i]
	}
	return items
}

// Outcomes ends the way of a chunk.
func Outcomes(items []Item) []store.Outcome {
	outcomes := make([]store.Outcome, len(items))
	for i := range items {
		outcomes[i] = items[i].Outcome
	}
	return outcomes
}

// Revising returns the keys of the current rows that revisions start from.
func Revising(items []Item) (keys []store.RowKey) {
	for i := range items {
		if items[i].Revise != nil && items[i].Key != 0 {
			keys = append(keys, items[i].Key)
		}
	}
	return keys
}

// Revise lets the revision of the row with the key make the new version.
func Revise(items []Item, key store.RowKey, current store.Current) (err error) {
	for i := range items {
		if it := &items[i]; it.Key == key && it.Revise != nil {
			if it.revised, err = it.Change.Revise(current, it.Change); err != nil {
				return fmt.Errorf("revise %v/%s: %w", it.Type, it.ID, err)
			}
			return nil
		}
	}
	return nil
}

// Decide finds the outcome of each change, when the current rows are known and the
// revisions are made.
func Decide(items []Item) {
	for i := range items {
		it := &items[i]
		switch {
		case (it.Remove || it.Revise != nil) && it.Key == 0:
			it.Outcome = store.Absent
		case it.Remove:
			it.Outcome = store.Removed
		case it.Key == 0:
			it.Outcome = store.Created
		case it.Revise != nil && !it.revised, bytes.Equal(it.Hash, it.SourceHash[:]):
			it.Outcome = store.Unchanged
		default:
			it.Outcome = store.Updated
		}
	}
}

// Written reports whether the change gives a new version.
func (it *Item) Written() bool { return it.Outcome == store.Created || it.Outcome == store.Updated }

// LastUpdatedAt is the meta.lastUpdated of the new version in a batch with the
// commit time now.
func (it *Item) LastUpdatedAt(now fhir.Instant) fhir.Instant {
	if it.LastUpdated != nil {
		return *it.LastUpdated
	}
	return now
}

// Keys returns the row keys of the items with one of the outcomes.
func Keys(items []Item, outcomes ...store.Outcome) (keys []store.RowKey) {
	for i := range items {
		for _, o := range outcomes {
			if items[i].Outcome == o {
				keys = append(keys, items[i].Key)
			}
		}
	}
	return keys
}

// Created returns the created items of each type, in their order.
func Created(items []Item) map[fhir.Type][]*Item {
	created := map[fhir.Type][]*Item{}
	for i := range items {
		if it := &items[i]; it.Outcome == store.Created {
			created[it.Type] = append(created[it.Type], it)
		}
	}
	return created
}

// Allot gives created items of one type their row keys, of which last is the
// sequence number of the last.
func Allot(created []*Item, last int64) {
	for i, it := range created {
		it.Key = store.Key(it.Type, last-int64(len(created)-1-i))
	}
}
