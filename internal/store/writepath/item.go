package writepath

import (
	"bytes"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// Item is a change of a chunk, with what the steps have found out about it. The Visibility of
// the change is the own state of the new version.
type Item struct {
	*store.Change
	Outcome   store.Outcome
	Key       store.RowKey     // of the current row, or the new one; 0 if there is none
	Version   int64            // of the current row, or of the last removal; 0 if there is none
	Committed fhir.Instant     // of the current row; 0 if there is none
	Hash      []byte           // source hash of the current row
	Before    index.Visibility // effective state of the current row
	Own       index.Visibility // own state of the current row, or of the last removed one
	Inherited index.Visibility // inherited state of the current row; [Cascade] sets that of the new version
	Inherits  bool             // the current row has an own document
	Pending   bool             // the new row stays pending until its cascade is finished

	revised  bool      // the revision has returned a new version
	composed *composed // what to store instead of the change's document and entries
	// differs is by which index entries the new version of a dependant differs from the current one.
	// It is nil for others, whose stored rows have to be read.
	differs *index.Difference
	silent  bool // only the inherited state changes, not the version
}

// composed is the document and the entries of a resource with what it inherits.
type composed struct {
	document store.Document
	entries  []index.Entry
}

// NewDependant returns the item of a row that may inherit another state: an update with its own
// document. stored is the stored document, and own the one without what the row inherits; they are
// the same if it inherits nothing. The caller sets Hash, Own and Inherited.
func NewDependant(row store.Row, stored, own store.Document, inherits bool) Item {
	it := Item{
		Change:  &store.Change{Type: row.Key.Type(), ID: row.ID, Document: own},
		Outcome: store.Updated, Key: row.Key, Version: row.Version, Committed: row.Committed, Before: row.Visibility & index.Hidden, Inherits: inherits,
	}
	if inherits {
		it.composed = &composed{document: stored}
	}
	return it
}

// State returns the effective state of the new version.
func (it *Item) State() index.Visibility { return (it.Visibility | it.Inherited) & index.Hidden }

// RowState returns the visibility of the new row.
func (it *Item) RowState() index.Visibility {
	if it.Pending {
		return it.State() | index.Pending
	}
	return it.State()
}

// Stored returns the document and the index entries of the new version.
func (it *Item) Stored() (store.Document, []index.Entry) {
	if it.composed != nil {
		return it.composed.document, it.composed.entries
	}
	return it.Document, it.Entries
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

// Revise calls the revision of a row, with its line without what it inherits and its stored line.
func Revise(items []Item, row *store.Row, own, stored []byte) (err error) {
	current := store.Current{Visibility: row.Visibility, Version: row.Version, LastUpdated: row.LastUpdated, Line: own, Served: stored}
	for i := range items {
		if it := &items[i]; it.Key == row.Key && it.Revise != nil {
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

// Written reports whether the change writes a new version. The version has the number of the
// current one if that was written in the same transaction, since no reader has seen it.
func (it *Item) Written() bool { return it.Outcome == store.Created || it.Outcome == store.Updated }

// LastUpdatedAt returns the meta.lastUpdated of the new version: the one of the change, or
// else the commit time.
func (it *Item) LastUpdatedAt(commit fhir.Instant) fhir.Instant {
	if it.LastUpdated != nil {
		return *it.LastUpdated
	}
	return commit
}

// Compared returns the keys of updated items of which the stored index rows are needed, to find the
// difference to those of the new versions.
func Compared(items []Item) (keys []store.RowKey) {
	for i := range items {
		if it := &items[i]; it.Outcome == store.Updated && it.differs == nil {
			keys = append(keys, it.Key)
		}
	}
	return keys
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
