package store

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// RowKey is the number of a resource in the store: the type in the upper bits,
// a sequence below. Keys of one type are one range, in order of first arrival,
// and are never reused.
type RowKey int64

const sequenceBits = 40

// Key builds a row key from a type and a sequence number from 1.
func Key(t fhir.Type, sequence int64) RowKey { return RowKey(int64(t)<<sequenceBits | sequence) }

// Type returns the resource type of the key.
func (k RowKey) Type() fhir.Type { return fhir.Type(k >> sequenceBits) }

// KeyRange returns the first and the last possible key of a type.
func KeyRange(t fhir.Type) (first, last RowKey) { return Key(t, 1), Key(t+1, 0) - 1 }

// Document is a resource as it will be stored and served, but for the version and
// the time that only the write gate knows. It is one JSON object on one line,
// escaped for NDJSON, cut where the two elements belong.
type Document struct {
	Head []byte // up to and with the opening of meta: {"resourceType":…,"id":…,"meta":{
	Tail []byte // from the element after lastUpdated on: ,"profile":[…]},… or },…
}

// Line returns the bytes to store, without a newline.
func (d Document) Line(version int64, lastUpdated fhir.Instant) []byte {
	line := make([]byte, 0, len(d.Head)+len(d.Tail)+64)
	line = append(line, d.Head...)
	line = append(line, `"versionId":"`...)
	line = appendInt(line, version)
	line = append(line, `","lastUpdated":"`...)
	line = append(line, lastUpdated.String()...)
	line = append(line, '"')
	return append(line, d.Tail...)
}

func appendInt(dst []byte, n int64) []byte {
	if n >= 10 {
		dst = appendInt(dst, n/10)
	}
	return append(dst, byte('0'+n%10))
}

// Change is one write to a resource: a put with its document, a removal, or a revision
// of the version that is stored.
type Change struct {
	Type   fhir.Type
	ID     string
	Remove bool
	// Revise makes the new version from the current one. It is called inside the write
	// gate, so nobody writes in between, and sets the fields below in c, which is this
	// change. It returns false to leave the resource as it is; nothing is written then.
	// It is not called for a resource that is not there. A batch that is begun again
	// calls it again.
	Revise func(current Current, c *Change) (bool, error)

	Document   Document
	SourceHash [16]byte         // of the canonical source after stripping, before cascade and stamp
	Visibility index.Visibility // own state
	Entries    []index.Entry    // everything the resource can be found by
	// LastUpdated is the meta.lastUpdated to keep; nil means the commit time.
	LastUpdated *fhir.Instant
}

// Current is the version of a resource that a revision starts from.
type Current struct {
	Visibility index.Visibility // its effective state
	Line       []byte           // as it is stored; valid during the call only
}

// Outcome is what became of a [Change].
type Outcome uint8

// The outcomes.
const (
	Created   Outcome = 1 + iota
	Updated           // a new version
	Unchanged         // the same source as the current version: nothing was written
	Removed
	Absent // a removal or a revision of what is not there
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

// Directory is the store of resources. It is safe for use by several goroutines,
// and several processes may have the same directory open.
type Directory interface {
	// Apply writes the changes in order and returns the outcome of each. It
	// passes the write gate once for each batch, and leaves it after at most 250
	// ms of work; a batch is committed whole, with one commit time. After an
	// error or a cancelled context the outcomes of the committed changes are
	// returned with the error.
	Apply(ctx context.Context, changes []Change) ([]Outcome, error)

	// OpenSnapshot takes the gate for an instant, draws a transaction time T,
	// calls pin with it, opens a read snapshot that holds every version committed
	// up to T and none after, and leaves the gate. pin records T with the job, so
	// that later writers keep the versions the job needs; an error of pin is
	// returned and no snapshot opened. Close the snapshot soon.
	OpenSnapshot(ctx context.Context, pin func(ctx context.Context, t fhir.Instant) error) (Snapshot, error)

	// ReadAsOf yields the stored line of each key, in the order given, in the
	// version that was current at t. Lines are valid during the call of yield
	// only. A key without a version at t is an error: the selection promised it.
	ReadAsOf(ctx context.Context, keys []RowKey, t fhir.Instant, yield func(key RowKey, line []byte) error) error

	// EachCurrent yields the stored line of the current version of every resource
	// of a type, hidden ones too, in ascending order of keys. It reads in short
	// pieces and holds nobody up: what is written meanwhile may be seen or not.
	// Lines are valid during the call of yield only; an error of yield ends the
	// reading and is returned.
	EachCurrent(ctx context.Context, t fhir.Type, yield func(line []byte) error) error

	// Present returns which of the ids a type has a resource for, hidden ones too.
	Present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error)

	// Vacuum drops old versions that no live job needs and returns how many.
	Vacuum(ctx context.Context) (int64, error)

	// Counts returns the number of resources by type, visible and all.
	Counts(ctx context.Context) (map[fhir.Type]Count, error)
}

// Count counts the resources of one type.
type Count struct{ All, Visible int64 }

// Snapshot is the directory at one moment. Not safe for several goroutines.
type Snapshot interface {
	// Time is the transaction time T of the snapshot (MA-01).
	Time() fhir.Instant
	// Select yields the key and the size (bytes of the line with its newline) of
	// every resource that the plan finds, in ascending order of keys.
	Select(ctx context.Context, p plan.Plan, yield func(key RowKey, size int64) error) error
	Close() error
}
