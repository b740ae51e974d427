package writepath

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// Graph finds the resources on which states depend, in the transaction of a chunk.
type Graph interface {
	// Owners returns the own states of the resources of a type, those of the last version for
	// removed ones. Others are missing.
	Owners(ctx context.Context, t fhir.Type, ids []string) (map[string]index.Visibility, error)
	// Users returns the effective states of the users of each resource: of a present user the
	// one in its row, and of a removed one nothing. Equal states may be returned once.
	Users(ctx context.Context, used fhir.Type, ids []string) (map[string][]index.Visibility, error)
	// RemovedUsers returns the removed resources that used one of the resources.
	RemovedUsers(ctx context.Context, used fhir.Type, ids []string) ([]RemovedUser, error)
	// UsedByRemoved returns the ids of the resources that the removed dependants of owners used.
	UsedByRemoved(ctx context.Context, owner fhir.Type, ids []string) ([]string, error)
	// References returns the references of the rows by the parameters.
	References(ctx context.Context, keys []store.RowKey, params []int) ([]Reference, error)
	// ReferencesOfRemoved returns the references by which the removed resources with the ids
	// used others.
	ReferencesOfRemoved(ctx context.Context, t fhir.Type, ids []string) ([]Reference, error)
	// Dependants returns up to limit keys of the rows that have a reference of the relation to
	// one of the ids.
	Dependants(ctx context.Context, r store.Relation, ids []string, limit int) ([]store.RowKey, error)
	// Keys returns the keys of the rows with the ids; with inheriting only of those that inherit
	// a state.
	Keys(ctx context.Context, t fhir.Type, ids []string, inheriting bool) ([]store.RowKey, error)
	// Range returns up to limit keys of rows from first to last, in ascending order.
	Range(ctx context.Context, first, last store.RowKey, limit int) ([]store.RowKey, error)
	// Load returns an item for each row: an update with the own document and the own state.
	Load(ctx context.Context, keys []store.RowKey) ([]Item, error)

	// KeepOwn writes the own documents of items that inherit a state, and deletes those of items
	// that do not.
	KeepOwn(ctx context.Context, items []Item) error
	// SetInherited changes the inherited states of rows whose version stays.
	SetInherited(ctx context.Context, items []Item) error
	// Remember keeps the references of removed resources with their own states.
	Remember(ctx context.Context, references []Reference, own map[store.RowKey]index.Visibility) error
	// Forget deletes the references of removed resources that are created again.
	Forget(ctx context.Context, t fhir.Type, ids []string) error

	// Mark makes the dependants of the causes and theirs pending, and lists them for slices.
	Mark(ctx context.Context, causes []Cause) error
	// Next returns the next listed rows, of one level, and which of them were touched: a
	// resource that they are about has changed.
	Next(ctx context.Context, limit int) (keys []store.RowKey, touched map[store.RowKey]bool, err error)
	// Touch marks listed rows as touched.
	Touch(ctx context.Context, keys []store.RowKey) error
	// Done strikes rows off the list.
	Done(ctx context.Context, keys []store.RowKey) error
	// Finish ends the cascade: no row is pending any more.
	Finish(ctx context.Context) error
}

// Reference is a reference of a row, or of a removed resource.
type Reference struct {
	From  store.RowKey
	Param int
	Type  fhir.Type
	ID    string
}

// RemovedUser is a removed resource that used another one, with its own state and its owners.
type RemovedUser struct {
	Used   string // the id of what it used
	Own    index.Visibility
	Owners []Reference
}

// Cause is a reason why states may be wrong: that of each row that has a reference of the relation
// to one of the ids, or that of the rows with the keys.
type Cause struct {
	Relation store.Relation
	IDs      []string
	Keys     []store.RowKey
}
