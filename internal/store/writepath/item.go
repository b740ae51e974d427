package writepath

import (
	"bytes"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// Item is a change of a chunk, with what the steps have found out about it.
type Item struct {
	*store.Change
	Outcome store.Outcome
	Key     store.RowKey     // of the current row, or the new one; 0 if there is none
	Version int64            // of the current row, or of the last removal; 0 if there is none
	Hash    []byte           // source hash of the current row
	Before  index.Visibility // of the current row

	revised bool // the revision has returned a new version
}

// Items returns the items of a chunk for the first step.
func Items(changes []store.Change) []Item {
	items := make([]Item, len(changes))
	for i := range changes {
		items[i].Change = &changes[i]
	}
	return items
}

// Outcomes returns the outcomes of a chunk after the last step.
func Outcomes(items []Item) []store.Outcome {
	outcomes := make([]store.Outcome, len(items))
	for i := range items {
		outcomes[i] = items[i].Outcome
	}
	return outcomes
}

// RevisedKeys returns the keys of the current rows that the revisions start from.
func RevisedKeys(items []Item) (keys []store.RowKey) {
	for i := range items {
		if items[i].Revise != nil && items[i].Key != 0 {
			keys = append(keys, items[i].Key)
		}
	}
	return keys
}

// Revise calls the revision of the row with the key.
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

// Decide sets the outcome of each change. It is called when the current rows are known and
// the revisions have run.
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

// Written reports whether the change writes a new version.
func (it *Item) Written() bool { return it.Outcome == store.Created || it.Outcome == store.Updated }

// LastUpdatedAt returns the meta.lastUpdated of the new version: the one of the change, or
// else the commit time.
func (it *Item) LastUpdatedAt(commit fhir.Instant) fhir.Instant {
	if it.LastUpdated != nil {
		return *it.LastUpdated
	}
	return commit
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

// Created returns the created items by type, in their order.
func Created(items []Item) map[fhir.Type][]*Item {
	created := map[fhir.Type][]*Item{}
	for i := range items {
		if it := &items[i]; it.Outcome == store.Created {
			created[it.Type] = append(created[it.Type], it)
		}
	}
	return created
}

// AssignKeys assigns row keys to the created items of one type. last is the sequence number
// of the last of them.
func AssignKeys(created []*Item, last int64) {
	for i, it := range created {
		it.Key = store.Key(it.Type, last-int64(len(created)-1-i))
	}
}
