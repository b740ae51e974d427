package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"

	"github.com/valyala/fastjson"
)

// Checksum is the stored checksum of a version. Versions that a muster without checksums has
// written have none.
type Checksum struct {
	Sum     int64
	Present bool
}

// Sum returns the checksum of a version: of its row, and of its stored line. Each driver stores
// it with the version, and verifies it whenever it reads the line (docs/decisions/0022-damage.md).
// [index.Pending] is not part of it.
func (r *Row) Sum(line []byte) int64 {
	var numbers [6 * 8]byte
	for n, v := range [...]int64{int64(r.Key), r.Version, int64(r.Committed), int64(r.LastUpdated), int64(r.Visibility &^ index.Pending), r.Size} {
		binary.LittleEndian.PutUint64(numbers[8*n:], uint64(v))
	}
	var id [64]byte
	return int64(damage.Of(numbers[:]).Add(append(id[:0], r.ID...)).Add(line))
}

// Verify compares a version with its checksum. It returns a [damage.Error] if the row or the line
// was changed since it was written. Without a checksum it returns one if the line is not a JSON
// object with the type, the id, the version and the time of the row.
func (r *Row) Verify(line []byte, stored Checksum) error {
	problem := ""
	switch {
	case stored.Present && stored.Sum != r.Sum(line):
		problem = "does not match its checksum: its row or its text was changed after it was written"
	case stored.Present:
	case int64(len(line))+1 != r.Size:
		problem = fmt.Sprintf("has %d bytes, but its row says %d", len(line)+1, r.Size)
	case !bytes.HasPrefix(line, r.head()):
		problem = "does not begin with the type, the id, the version and the time of its row"
	case bytes.IndexByte(line, '\n') >= 0 || fastjson.ValidateBytes(line) != nil:
		problem = "is not a JSON object on one line"
	}
	if problem == "" {
		return nil
	}
	return damage.New(damage.Row, "the %v with row key %d, version %d, %s: check the disk; restore a backup, or load this resource again with a change; muster check finds all such rows",
		r.Key.Type(), r.Key, r.Version, problem)
}

// head returns the beginning of the line of the version, as [Document] defines it.
func (r *Row) head() []byte {
	return Document{Head: Head(r.Key.Type(), r.ID)}.Line(r.Version, r.LastUpdated)
}

// DamagedRow reports a version that a driver cannot read as a row.
func DamagedRow(key RowKey, problem string) error {
	return damage.New(damage.Row, "the %v with row key %d %s: check the disk, and restore a backup; muster check finds all such rows", key.Type(), key, problem)
}

// CheckSelected compares the number of rows that a selection without conditions has found with
// the number that is kept apart.
func CheckSelected(of fmt.Stringer, found, kept int64) error {
	if found == kept {
		return nil
	}
	return damage.New(damage.Count, "%d rows of %v were found, but the directory has %d: rows are lost or changed. Run muster check, and restore a backup", found, of, kept)
}

// checksumsKey is the key of the row of table meta that says that every version has a checksum.
const checksumsKey = "checksums"

// SumOwn returns the checksum of an own document of a resource that inherits a state, which is
// kept apart from its version.
func SumOwn(key RowKey, tail []byte) int64 {
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], uint64(key))
	return int64(damage.Of(number[:]).Add(tail))
}

// ChecksumsRow returns the row of table meta to write when every version has a checksum.
func ChecksumsRow() (key, value string) { return checksumsKey, "1" }

// ProtectionGap says which damage would not be noticed, and what to do about that.
type ProtectionGap struct{ What, Remedy string }

// ProtectionGaps returns the gaps that follow from the identity of a directory.
func (id Identity) ProtectionGaps() []ProtectionGap {
	if id.Checksummed {
		return nil
	}
	return []ProtectionGap{{
		What:   "resources that an older muster has stored have no checksum: a change of their text is only noticed where it is no longer a resource",
		Remedy: "stop the servers and run muster reindex once",
	}}
}

// VisibilityCounts are the numbers of the resources of a type, by visibility.
type VisibilityCounts [4]int64

// Recount compares the rows of a directory with the numbers that are kept apart, for selections
// with conditions, which cannot do so themselves. The zero value is ready to use.
type Recount struct {
	last sync.Map // by fhir.Type: the time of the last comparison since processStart
}

// recountEvery is how long one comparison holds. Reading all narrow rows takes about 0.2 s for a
// million resources, which is too long for each small export.
const recountEvery = time.Minute

var processStart = time.Now()

// Check compares the numbers of the types that a plan reads, of each unless its last comparison was
// less than a minute ago. found and kept return the numbers of a type in the snapshot of the
// selection.
func (r *Recount) Check(ctx context.Context, p plan.Plan, found, kept func(context.Context, fhir.Type) (VisibilityCounts, error)) error {
	now := time.Since(processStart)
	for _, t := range p.Types() {
		if last, counted := r.last.Load(t); counted && now-last.(time.Duration) < recountEvery {
			continue
		}
		rows, err := found(ctx, t)
		if err != nil {
			return fmt.Errorf("count the rows of %v: %w", t, err)
		}
		numbers, err := kept(ctx, t)
		if err != nil {
			return fmt.Errorf("read the number of %v: %w", t, err)
		}
		for v := range numbers {
			if err := CheckSelected(t, rows[v], numbers[v]); err != nil {
				return fmt.Errorf("with the state %d: %w", v, err)
			}
		}
		r.last.Store(t, now)
	}
	return nil
}
