package store

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// What says what a write did to a resource, and the state of the new version, as a set of flags.
type What uint16

// The flags of what was done. A change of the state that clients see is one or two of the four in the middle. A
// write that keeps the state is WasUpdated. If one commit writes a resource twice, once for its own
// change and once for what it inherits, it has the flags of both.
const (
	WasCreated What = 1 << iota // in any state
	WasUpdated
	WasSuppressed
	WasLifted // the suppression has ended
	WasDeactivated
	WasReactivated
	WasRemoved
)

// The flags of the state of the new version: by its own document, and by what it inherits. Both are
// logged, since the flags of two writes in one commit are added: what they say together must not
// take an own state for an inherited one.
const (
	OwnInactive What = 1 << (7 + iota)
	OwnSuppressed
	InheritedInactive
	InheritedSuppressed
)

// Inherited returns the flags of the state that the version has certainly from others alone: it
// inherited them, and its own document did not say them.
func (w What) Inherited() (state index.Visibility) {
	if w&InheritedInactive != 0 && w&(OwnInactive|WasReactivated) == 0 {
		state |= index.Inactive
	}
	if w&InheritedSuppressed != 0 && w&(OwnSuppressed|WasLifted) == 0 {
		state |= index.Suppressed
	}
	return state
}

// WhatNames are the names of the flags of what was done, the lowest first.
var WhatNames = []string{"created", "updated", "suppressed", "lifted", "deactivated", "reactivated", "removed"}

// Logged is an entry of the change log. Its resource may have been removed since.
type Logged struct {
	Key       RowKey
	Committed fhir.Instant
	What      What
}

// Version names a version of a resource, as its line does.
type Version struct {
	Type        fhir.Type
	ID          string
	Number      int64
	LastUpdated fhir.Instant
}

// Recalled is what a directory knows about a [Version]. Both fields are zero for a version of
// another server.
type Recalled struct {
	Current bool // the current version has this number and lastUpdated
	// What is what the resource of that id, or a removed one, did at the lastUpdated of the
	// version, as the change log says; 0 if it did nothing, or its entry is deleted.
	What What
}

// Add adds what is known of a resource with the id of the version: whether the version is its current one,
// and what it did then. A removal writes no version.
func (r *Recalled) Add(current bool, what What) {
	r.Current = r.Current || current
	r.What |= what &^ WasRemoved
}

// ChangeLog is the change log of a directory, which each write appends to. It is safe for use by several goroutines.
type ChangeLog interface {
	// EachChange yields the entries that were committed after a time, in the order of their
	// commits and then of their keys. An error of yield ends the iteration and is returned.
	EachChange(ctx context.Context, after fhir.Instant, yield func(Logged) error) error

	// Recall returns what the directory knows about versions that it may have served: one
	// item for each of the versions.
	Recall(ctx context.Context, versions []Version) ([]Recalled, error)

	// LogStart returns the time after which the change log has every change, 0 for all
	// changes. Earlier entries have been deleted with the tombstones of their time, or an
	// older muster wrote no log.
	LogStart(ctx context.Context) (fhir.Instant, error)

	// SweepLog deletes the entries that were committed before a time, and returns how many.
	SweepLog(ctx context.Context, before fhir.Instant) (int64, error)
}

// LogStartKey is the key of table meta for [ChangeLog].LogStart, in milliseconds since 1970.
// There is no row if the log has every change.
const LogStartKey = "change_log_start"
