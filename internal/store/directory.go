package store

import (
	"context"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// RowKey identifies a resource in the store: the type in the upper bits, a sequence number
// below. The keys of one type are one range, in order of first arrival. They are never
// reused.
type RowKey int64

const sequenceBits = 40

// Key builds a row key from a type and a sequence number from 1.
func Key(t fhir.Type, sequence int64) RowKey { return RowKey(int64(t)<<sequenceBits | sequence) }

// Type returns the resource type of the key.
func (k RowKey) Type() fhir.Type { return fhir.Type(k >> sequenceBits) }

// KeyRange returns the first and the last possible key of a type.
func KeyRange(t fhir.Type) (first, last RowKey) { return Key(t, 1), Key(t+1, 0) - 1 }

// Document is a resource as it will be stored and served, without its version and time,
// which are known only inside the write gate. It is one JSON object on one line, escaped
// for NDJSON, and split where these two elements belong.
type Document struct {
	Head []byte // up to the opening of meta: {"resourceType":…,"id":…,"meta":{
	Tail []byte // from the element after lastUpdated: ,"profile":[…]},… or },…
}

// Line returns the bytes to store, without a newline.
func (d Document) Line(version int64, lastUpdated fhir.Instant) []byte {
	line := make([]byte, 0, len(d.Head)+len(d.Tail)+64)
	line = append(line, d.Head...)
	line = append(line, `"versionId":"`...)
	line = strconv.AppendInt(line, version, 10)
	line = append(line, `","lastUpdated":"`...)
	line = append(line, lastUpdated.String()...)
	line = append(line, '"')
	return append(line, d.Tail...)
}

// Change is one write to a resource: a put with its document, a removal, or a revision of
// the stored version.
type Change struct {
	Type   fhir.Type
	ID     string
	Remove bool
	// Revise derives the new version from the current one. It is called inside the write
	// gate, so no other write can come in between. It sets the fields below in c, which
	// is this change, or returns false to leave the resource unchanged. It is not called
	// if the resource does not exist. It is called again if the batch is retried.
	Revise func(current Current, c *Change) (bool, error)

	Document   Document
	SourceHash [16]byte         // of the canonical source after stripping, before cascade and stamp
	Visibility index.Visibility // own state
	Entries    []index.Entry    // all index entries of the resource
	// LastUpdated is the meta.lastUpdated to keep; nil means the commit time.
	LastUpdated *fhir.Instant
}

// Current is the version that a revision starts from. Lines are valid during the call only.
type Current struct {
	Visibility  index.Visibility // effective state
	Version     int64
	LastUpdated fhir.Instant
	Line        []byte // the line without what the resource inherits
	Served      []byte // the stored line, the same if the resource inherits nothing
}

// Held is the current version of a resource with the parts of its state.
type Held struct {
	Own, Inherited index.Visibility
	Line           []byte // stored line; valid during the call only
}

// Outcome is the result of a [Change].
type Outcome uint8

// The outcomes.
const (
	Created   Outcome = 1 + iota
	Updated           // a new version
	Unchanged         // the source equals that of the current version: nothing was written
	Removed
	Absent // a removal or a revision of a resource that does not exist
)

// Row is the narrow row of a resource's current version.
type Row struct {
	Key         RowKey
	ID          string
	Version     int64
	Committed   fhir.Instant
	LastUpdated fhir.Instant
	Visibility  index.Visibility
	Size        int64 // bytes of the stored line with its newline
}

// Directory is the store of resources. It is safe for use by several goroutines, and
// several processes may open the same directory.
type Directory interface {
	// Apply writes the changes in order and returns the outcome of each. It passes the
	// write gate once for each batch and leaves it after at most 250 ms of work. A batch
	// is one transaction with one commit time. After an error or a cancelled context,
	// Apply returns the outcomes of the committed changes with the error.
	//
	// If the store has [Rules], Apply also writes the resources that inherit another state by
	// the changes: with them if there are few, and otherwise in batches of its own before it
	// returns. Until the last of these batches no reader sees any of them and no snapshot is
	// opened. If the process ends before that, the next one to enter the gate continues.
	Apply(ctx context.Context, changes []Change) ([]Outcome, error)

	// ApplyAll commits all changes, of different resources, in one transaction, or none. It
	// holds the write gate as long as that takes, so the caller bounds their number. It calls
	// confirm with the outcomes before the commit; an error of confirm leaves the directory as
	// it was, and is returned. If dependants are written in slices, they are hidden with the
	// commit.
	ApplyAll(ctx context.Context, changes []Change, confirm func([]Outcome) error) ([]Outcome, error)

	// OpenSnapshot enters the gate briefly, draws a transaction time T, calls pin with
	// it, opens a read snapshot that holds every version committed up to T and none
	// after, and leaves the gate. pin stores T with the job, so that later writers keep
	// the versions that the job needs. If pin fails, OpenSnapshot returns its error and
	// opens no snapshot. Close the snapshot soon.
	OpenSnapshot(ctx context.Context, pin func(ctx context.Context, t fhir.Instant) error) (Snapshot, error)

	// ReadAsOf yields the stored line of each key, in the order given, in the version
	// that was current at t. Lines are valid during the call of yield only. A key
	// without a version at t is an error, because selections hold existing keys only.
	ReadAsOf(ctx context.Context, keys []RowKey, t fhir.Instant, yield func(key RowKey, line []byte) error) error

	// EachCurrent yields the current version of every resource of a type, including hidden
	// ones, in ascending order of keys. It reads in short transactions and does not block
	// writers; it may or may not yield what is written meanwhile. An error of yield ends the
	// iteration and is returned.
	EachCurrent(ctx context.Context, t fhir.Type, yield func(Held) error) error

	// Present returns which of the ids exist as resources of a type, including hidden
	// ones.
	Present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error)

	// Vacuum deletes the old versions that no live job needs and returns how many.
	Vacuum(ctx context.Context) (int64, error)

	// SweepRemovals forgets removals that are old enough, and returns how many. Their
	// resources are then unknown, but no version id of them is used again: a resource that
	// is created later begins above every version that was swept.
	SweepRemovals(ctx context.Context, s Sweep) (int64, error)

	// Horizon returns the times from which the directory cannot say what has changed since.
	Horizon(ctx context.Context) (Horizon, error)

	// Unprotected returns which damage of the directory would not be noticed.
	Unprotected(ctx context.Context) ([]ProtectionGap, error)

	// Counts returns the number of all and of visible resources by type.
	Counts(ctx context.Context) (map[fhir.Type]Count, error)
}

// Count counts the resources of one type.
type Count struct{ All, Visible int64 }

// WriteAheadLog is the log of a database, which only grows while a snapshot is open that is
// older than its end.
type WriteAheadLog interface {
	// LogSize returns the size of the log in bytes.
	LogSize() (int64, error)
	// TruncateLog moves the log into the database and truncates it. It returns false if a
	// transaction reads it.
	TruncateLog(ctx context.Context) (bool, error)
	// LogFailure returns why this process could not move the log into the database when it last
	// tried, which it does after each commit. It returns nil if it could. A [damage.Error]
	// means that the log is damaged.
	LogFailure() error
}

// Snapshot is a consistent view of the directory. It is not safe for use by several
// goroutines.
type Snapshot interface {
	// Time is the transaction time T of the snapshot (MA-01).
	Time() fhir.Instant
	// CheckCounts counts the rows of the types that the plan reads, and compares them with the
	// numbers that are kept apart. It returns a [damage.Error] if they differ. A comparison
	// that was less than a minute ago counts for all snapshots of the store. It takes about
	// 0.2 s for a million resources, so it does not belong to the time of the selection.
	CheckCounts(ctx context.Context, p plan.Plan) error
	// Select yields the key and the size (bytes of the line with its newline) of every
	// resource that matches the plan, in ascending order of keys.
	Select(ctx context.Context, p plan.Plan, yield func(key RowKey, size int64) error) error
	// Removals yields the removals of resources of a type that were committed strictly after
	// since, in the order of their ids and of their times. An error of yield ends the iteration
	// and is returned.
	Removals(ctx context.Context, t fhir.Type, since fhir.Instant, yield func(r Removal) error) error
	// Rows returns the rows of the keys that exist, in the order given, including hidden ones.
	Rows(ctx context.Context, keys []RowKey) ([]Row, error)
	Close() error
}

// Removal is one removal of a resource.
type Removal struct {
	ID    string
	Key   RowKey // of the removed resource
	Again RowKey // of the resource that was created since with the same id; 0 if there is none
}
