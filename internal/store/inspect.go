package store

import (
	"context"
	"maps"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// Inspector reads the contents of a directory as they are stored, damaged or not, for
// package check. It writes nothing. Each call reads one snapshot in a short transaction, so
// writers and servers continue meanwhile. It is not safe for use by several goroutines.
type Inspector interface {
	// StoresKind reports whether the driver stores index entries of a kind.
	StoresKind(kind index.Kind) bool

	// Excerpt returns everything that is stored under the row keys from first to last,
	// in ascending order. It stops after about limit resources.
	Excerpt(ctx context.Context, first, last RowKey, limit int) (Excerpt, error)

	// Differences returns those of the rows that do not have the state that they inherit by the
	// rules now. It returns a [damage.Error] if it cannot read one of them.
	Differences(ctx context.Context, rules Rules, keys []RowKey) ([]Difference, error)

	// OldVersions returns up to limit rows of history that follow (after, version).
	OldVersions(ctx context.Context, after RowKey, version int64, limit int) ([]OldVersion, error)

	// Tombstones returns up to limit tombstones that follow after in the order of type,
	// id and version. The zero value of after returns the first ones.
	Tombstones(ctx context.Context, after Tombstone, limit int) ([]Tombstone, error)

	// Clock returns the last time that the clock of the directory has issued.
	Clock(ctx context.Context) (fhir.Instant, error)

	// EachJob yields every job with its parts and selections, all from one snapshot.
	EachJob(ctx context.Context, yield func(JobRecord) error) error

	// JobRecord returns the current state of one job, or [ErrNotFound].
	JobRecord(ctx context.Context, id string) (JobRecord, error)

	// Readable returns the total size of the lines of the keys as of t, with newlines,
	// and the keys that have no version at that time.
	Readable(ctx context.Context, keys []RowKey, t fhir.Instant) (bytes int64, missing []RowKey, err error)

	// StalledGate reports whether a process holds the write gate and makes no progress.
	StalledGate(ctx context.Context) (stall GateStall, stalled bool, err error)

	// Integrity runs the checks of the database itself and yields the problems that it
	// reports. With deep, the checks include both directions of each index. A check that
	// cannot run is yielded with Skipped set.
	Integrity(ctx context.Context, deep bool, yield func(c IntegrityProblem) error) error
}

// IntegrityProblem is a problem that the database reports about itself.
type IntegrityProblem struct {
	Place   string // database, table or index
	Problem string
	Remedy  string // what to do about it
	Skipped bool   // not a problem: a check could not run
}

// Excerpt is a range of row keys with everything that is stored under them.
type Excerpt struct {
	Clock    fhir.Instant // last issued time, in the snapshot of the excerpt
	Sequence int64        // last issued sequence number for the type of the first key
	Through  RowKey       // last key that the excerpt covers
	Records  []StoredRecord
}

// Difference is a row whose inherited state is not the one that follows from other resources.
type Difference struct {
	Type            fhir.Type
	ID              string
	Inherited, Want index.Visibility
}

// StoredRecord is everything that is stored under one row key. Missing parts are nil.
type StoredRecord struct {
	Key     RowKey
	Row     *StoredRow
	Body    []byte
	Own     *StoredOwn
	Entries []index.Entry // in any order
}

// StoredRecords collects the contents of several tables by row key.
type StoredRecords map[RowKey]*StoredRecord

// At returns the record of a key. It adds an empty one if there is none.
func (s StoredRecords) At(key RowKey) *StoredRecord {
	if s[key] == nil {
		s[key] = &StoredRecord{Key: key}
	}
	return s[key]
}

// Sorted returns the records in ascending order of keys.
func (s StoredRecords) Sorted() []StoredRecord {
	found := make([]StoredRecord, 0, len(s))
	for _, key := range slices.Sorted(maps.Keys(s)) {
		found = append(found, *s[key])
	}
	return found
}

// StoredRow is the narrow row of a resource with the columns that only a check reads.
type StoredRow struct {
	Row
	Type           fhir.Type
	Own, Inherited index.Visibility
	Checksum       Checksum
}

// StoredOwn is the own document of a resource that inherits a state, from the element after
// lastUpdated, and its checksum.
type StoredOwn struct {
	Tail []byte
	Sum  int64
}

// OldVersion is a row of history. A row that a muster without checksums has written has no id, no
// time of the last update and no checksum.
type OldVersion struct {
	Row
	Superseded fhir.Instant
	Checksum   Checksum
	Body       []byte
	Current    int64 // version of the current row; 0 if there is none
}

// Tombstone is the row that a removal leaves behind.
type Tombstone struct {
	Type      fhir.Type
	ID        string
	Version   int64
	Key       RowKey
	Committed fhir.Instant
	Current   int64 // version of the current row with the id; 0 if there is none
	KeyInUse  bool  // a current row has the same key
}

// JobRecord is a job with its parts, selections and the contents of parts that are not done.
type JobRecord struct {
	Job        Job
	Parts      []Part
	Selections []SelectionRecord
	Contents   []ContentRecord
}

// SelectionRecord is a stored selection, or the error that decoding it returned.
type SelectionRecord struct {
	Selection
	Err error
}

// ContentRecord is the stored content of a part, or the error that decoding it returned.
type ContentRecord struct {
	Number  int
	Content []byte // a gzip stream
	Err     error
}
