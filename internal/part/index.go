package part

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"muster/internal/damage"
)

// The first byte of an index. An index of version indexIdentity has a checksum of the identity
// bytes of each fragment only, and one of version indexUnchecked has none.
const (
	indexUnchecked = 1
	indexIdentity  = 2
	indexVersion   = 3
)

const crcSize = 4

// sealedAt is where the sealed bytes of an index begin: after the version and the seal.
const sealedAt = 1 + damage.Size

// fragment is the position of a fragment in both forms of a part.
type fragment struct {
	identity, identitySize int64 // offset and length in the identity form
	gzip, gzipSize         int64 // offset and length in the stream

	checked bool
	crc     uint32 // CRC-32 of the identity bytes, if checked
	summed  bool
	sum     damage.Sum // of the gzip bytes, if summed
}

// index is a decoded index.
type index struct {
	fragments []fragment
	trailer   []byte // the end of the stream; nil if the index does not say what it is
}

// find returns the number of the fragment with the byte at an offset of one of the forms. start
// returns where a fragment begins in that form. The fragments cover the form from the first to the
// last, so there is one for each offset in it.
func (x *index) find(offset int64, start func(*fragment) int64) int {
	return sort.Search(len(x.fragments), func(n int) bool { return start(&x.fragments[n]) > offset }) - 1
}

// seal returns the checksum of a summary and of the sealed bytes of its index.
func seal(s *Summary, sealed []byte) damage.Sum {
	var numbers []byte
	for _, n := range []int64{s.Count, s.Bytes, s.GzipBytes} {
		numbers = binary.LittleEndian.AppendUint64(numbers, uint64(n))
	}
	return damage.Of(numbers).Add([]byte(s.SHA256)).Add(sealed)
}

// trailerOf returns the last bytes of a stream.
func trailerOf(crc uint32, bytes int64) []byte {
	end := binary.LittleEndian.AppendUint32(append([]byte(nil), lastBlock...), crc)
	return binary.LittleEndian.AppendUint32(end, uint32(bytes))
}

// decodeIndex decodes the index of a summary and checks it against its other fields.
func decodeIndex(s *Summary) (index, error) {
	text := s.Index
	if len(text) == 0 {
		return index{}, errors.New("the fragment index of the part is empty")
	}
	version := text[0]
	var decoded index
	at := 1
	switch version {
	case indexUnchecked, indexIdentity:
	case indexVersion:
		at = sealedAt + crcSize
		if len(text) < at {
			return index{}, fmt.Errorf("the fragment index of the part is truncated at byte %d", len(text))
		}
		if seal(s, text[sealedAt:]) != damage.Decode(text[1:]) {
			return index{}, errors.New("the row of the part differs from the checksum in its fragment index: it was changed after it was written")
		}
		decoded.trailer = trailerOf(binary.LittleEndian.Uint32(text[sealedAt:]), s.Bytes)
	default:
		return index{}, fmt.Errorf("the fragment index of the part has version %d; this program reads versions %d to %d", version, indexUnchecked, indexVersion)
	}
	var err error
	decoded.fragments, err = decodeFragments(s, version, at)
	return decoded, err
}

// decodeFragments decodes the entries of an index, which begin at byte at.
func decodeFragments(s *Summary, version byte, at int) ([]fragment, error) {
	text := s.Index
	// A fragment takes at least two bytes in the index, so this bounds the memory.
	fragments := make([]fragment, 0, len(text)/2)
	identity, gzip := int64(0), int64(len(header))
	for at < len(text) {
		f := fragment{identity: identity, gzip: gzip, checked: version >= indexIdentity, summed: version >= indexVersion}
		for _, size := range []struct {
			to    *int64
			limit int64
		}{{&f.identitySize, s.Bytes - identity}, {&f.gzipSize, s.GzipBytes - trailerSize - gzip}} {
			n, width := binary.Uvarint(text[at:])
			if width <= 0 {
				return nil, fmt.Errorf("the fragment index of the part is truncated or overflows at byte %d", at)
			}
			if n == 0 || size.limit < 0 || n > uint64(size.limit) {
				return nil, fmt.Errorf("the fragment index of the part does not match its sizes at byte %d: the length is %d, and 1 to %d are possible", at, n, max(size.limit, 0))
			}
			*size.to = int64(n)
			at += width
		}
		rest, err := f.decodeSums(text[at:])
		if err != nil {
			return nil, fmt.Errorf("the fragment index of the part is truncated at byte %d", at)
		}
		at = len(text) - len(rest)
		identity += f.identitySize
		gzip += f.gzipSize
		fragments = append(fragments, f)
	}
	if identity != s.Bytes || gzip != s.GzipBytes-trailerSize {
		return nil, fmt.Errorf("the fragment index of the part ends at %d identity and %d gzip bytes; the part has %d and %d", identity, gzip+trailerSize, s.Bytes, s.GzipBytes)
	}
	return fragments, nil
}

// errTruncated reports that an index ends within an entry.
var errTruncated = errors.New("truncated")

// decodeSums decodes the checksums of the fragment and returns the rest of the index.
func (f *fragment) decodeSums(text []byte) ([]byte, error) {
	if f.checked {
		if len(text) < crcSize {
			return nil, errTruncated
		}
		f.crc, text = binary.LittleEndian.Uint32(text), text[crcSize:]
	}
	if f.summed {
		if len(text) < damage.Size {
			return nil, errTruncated
		}
		f.sum, text = damage.Decode(text), text[damage.Size:]
	}
	return text, nil
}
