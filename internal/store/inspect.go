package store

import (
	"context"
	"maps"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// Inspector shows what a driver keeps, as it lies there, damaged or not. It is
// made for a check and writes nothing. Each call is one short read of one moment,
// so writers and a server go on meanwhile. Not safe for use by several goroutines.
type Inspector interface {
	// Keeps reports whether entries of a kind are kept here.
	StoresKind(kind index.Kind) bool

	// Excerpt returns everything that is stored under the row keys from first to
	// last, in ascending order, but stops after about limit resources.
	Excerpt(ctx context.Context, first, last RowKey, limit int) (Excerpt, error)

	// OldVersions returns up to limit rows of history that follow (after, version).
	OldVersions(ctx context.Context, after RowKey, version int64, limit int) ([]OldVersion, error)

	// Tombstones returns up to limit tombstones that follow after in the order of
	// type, id and version; the zero value starts.
	Tombstones(ctx context.Context, after Tombstone, limit int) ([]Tombstone, error)

	// Clock returns the last moment that was given out.
	Clock(ctx context.Context) (fhir.Instant, error)

	// EachJob yields every job with its parts and selections, as one moment has
	// them all.
	EachJob(ctx context.Context, yield func(JobRecord) error) error

	// JobRecord returns one job as it stands now, or [ErrNotFound].
	JobRecord(ctx context.Context, id string) (JobRecord, error)

	// Readable returns how many bytes the lines of the keys have as of t, newlines
	// too, and the keys that have no version of that time.
	Readable(ctx context.Context, keys []RowKey, t fhir.Instant) (bytes int64, missing []RowKey, err error)

	// Integrity lets the database check itself, both directions of each index
	// included when deep, and yields what it complains of in words for people.
	// What cannot be checked here is yielded with skipped set.
	Integrity(ctx context.Context, deep bool, yield func(c IntegrityProblem) error) error
}

// IntegrityProblem is one thing that a database says of itself.
type IntegrityProblem struct {
	Place   string // the database, table or index
	Problem string
	Remedy  string // what to do about it
	Skipped bool   // nothing is wrong, but something could not be looked at
}

// Excerpt is a run of row keys with what is stored under them.
type Excerpt struct {
	Clock    fhir.Instant // the last moment given out, at the moment of the excerpt
	Sequence int64        // the last sequence number given out for the type of the first key
	Through  RowKey       // the excerpt covers the keys up to here
	Records  []StoredRecord
}

// StoredRecord is what is stored under one row key. A part that is missing is nil.
type StoredRecord struct {
	Key     RowKey
	Row     *StoredRow
	Body    []byte
	Entries []index.Entry // in any order
}

// StoredRecords gathers what a driver finds under row keys, table by table.
type StoredRecords map[RowKey]*StoredRecord

// At returns the specimen of a key, an empty one if it is new.
func (s StoredRecords) At(key RowKey) *StoredRecord {
	if s[key] == nil {
		s[key] = &StoredRecord{Key: key}
	}
	return s[key]
}

// InOrder returns the specimens in ascending order of keys.
func (s StoredRecords) Sorted() []StoredRecord {
	found := make([]StoredRecord, 0, len(s))
	for _, key := range slices.Sorted(maps.Keys(s)) {
		found = append(found, *s[key])
	}
	return found
}

// StoredRow is the narrow row with what only a check looks at.
type StoredRow struct {
	Row
	Type           fhir.Type
	Own, Inherited index.Visibility
}

// OldVersion is a row of history.
type OldVersion struct {
	Key        RowKey
	Version    int64
	Committed  fhir.Instant
	Superseded fhir.Instant
	Size       int64
	Body       []byte
	Current    int64 // version of the current row; 0 if there is none
}

// Tombstone is the row that a removal leaves.
type Tombstone struct {
	Type      fhir.Type
	ID        string
	Version   int64
	Key       RowKey
	Committed fhir.Instant
	Current   int64 // version of the current row of the id; 0 if there is none
	KeyInUse  bool  // a current row has the key
}

// JobRecord is a job with everything that belongs to it.
type JobRecord struct {
	Job        Job
	Parts      []Part
	Selections []SelectionRecord
}

// SelectionRecord is a stored selection, or why it cannot be read.
type SelectionRecord struct {
	Selection
	Err error
}
