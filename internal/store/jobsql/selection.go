package jobsql

import (
	"bytes"
	"encoding/binary"

	"muster/internal/damage"
	"muster/internal/fhir"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// sealedSelection begins a stored selection with a checksum. A bitmap without one begins with the
// number of its containers, of which the eighth byte is zero.
const sealedSelection = "selectn1"

// sealedContent begins the stored content of a part, before a checksum.
const sealedContent = "content1"

// sealOf returns the checksum of the selection of a type of a job, or of the content of the part
// with a number, as of a time.
func sealOf(job string, number uint64, at fhir.Instant, data []byte) damage.Sum {
	numbers := binary.LittleEndian.AppendUint64(nil, number)
	numbers = binary.LittleEndian.AppendUint64(numbers, uint64(at))
	return damage.Of([]byte(job)).Add(numbers).Add(data)
}

// encodeSelection returns the stored form of a selection.
func encodeSelection(job string, t fhir.Type, at fhir.Instant, keys *roaring64.Bitmap) ([]byte, error) {
	keys.RunOptimize()
	bitmap, err := keys.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(sealOf(job, uint64(t), at, bitmap).Append([]byte(sealedSelection)), bitmap...), nil
}

// decodeSelection returns the row keys of a stored selection. It returns a [damage.Error] if the
// selection, or the time of its job, was changed.
func decodeSelection(job string, t fhir.Type, at fhir.Instant, stored []byte) (*roaring64.Bitmap, error) {
	const head = len(sealedSelection) + damage.Size
	bitmap := stored
	switch {
	case len(stored) >= head && bytes.HasPrefix(stored, []byte(sealedSelection)):
		bitmap = stored[head:]
		if sealOf(job, uint64(t), at, bitmap) != damage.Decode(stored[len(sealedSelection):]) {
			return nil, damagedSelection(job, t, nil)
		}
	case len(stored) < 8 || binary.LittleEndian.Uint64(stored) > uint64(len(stored)):
		// The number of containers cannot be right, and decoding would allocate that many.
		return nil, damagedSelection(job, t, nil)
	}
	keys := roaring64.New()
	if err := keys.UnmarshalBinary(bitmap); err != nil {
		return nil, damagedSelection(job, t, err)
	}
	return keys, nil
}

func damagedSelection(job string, t fhir.Type, cause error) error {
	return &damage.Error{Kind: damage.Selection, Err: cause,
		Text: "the stored selection of " + t.String() + " of job " + job + " does not match its checksum: check the disk, and start the export again"}
}

// encodeContent returns the stored form of the content of a part.
func encodeContent(job string, number int, at fhir.Instant, content []byte) []byte {
	return append(sealOf(job, uint64(number), at, content).Append([]byte(sealedContent)), content...)
}

// decodeContent returns the content of a part. It returns a [damage.Error] if the content, or the
// time of its job, was changed.
func decodeContent(job string, number int, at fhir.Instant, stored []byte) ([]byte, error) {
	const head = len(sealedContent) + damage.Size
	if len(stored) >= head && bytes.HasPrefix(stored, []byte(sealedContent)) &&
		sealOf(job, uint64(number), at, stored[head:]) == damage.Decode(stored[len(sealedContent):]) {
		return stored[head:], nil
	}
	return nil, damage.New(damage.Selection, "the stored content of part %d of job %s does not match its checksum: check the disk, and start the export again", number, job)
}
