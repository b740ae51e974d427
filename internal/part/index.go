package part

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// indexVersion is the first byte of an index. An index of version indexUnchecked has no
// checksums, and its part is read unchecked.
const (
	indexUnchecked = 1
	indexVersion   = 2
)

const checksumSize = 4

// fragment is the position of a fragment in both forms of a part.
type fragment struct {
	identity, identitySize int64 // offset and length in the identity form
	gzip, gzipSize         int64 // offset and length in the stream

	checked bool
	crc     uint32 // CRC-32 of the identity bytes, if checked
}

// decodeIndex decodes an index and checks it against the sizes of the part.
func decodeIndex(index []byte, gzipSize, bytes int64) ([]fragment, error) {
	if len(index) == 0 {
		return nil, errors.New("the fragment index of the part is empty")
	}
	if index[0] != indexVersion && index[0] != indexUnchecked {
		return nil, fmt.Errorf("the fragment index of the part has version %d; this program reads versions %d and %d", index[0], indexUnchecked, indexVersion)
	}
	// A fragment takes at least two bytes in the index, so this bounds the memory.
	fragments := make([]fragment, 0, len(index)/2)
	identity, gzip := int64(0), int64(len(header))
	for at := 1; at < len(index); {
		f := fragment{identity: identity, gzip: gzip, checked: index[0] == indexVersion}
		for _, size := range []struct {
			to    *int64
			limit int64
		}{{&f.identitySize, bytes - identity}, {&f.gzipSize, gzipSize - trailerSize - gzip}} {
			n, width := binary.Uvarint(index[at:])
			if width <= 0 {
				return nil, fmt.Errorf("the fragment index of the part is truncated or overflows at byte %d", at)
			}
			if n == 0 || size.limit < 0 || n > uint64(size.limit) {
				return nil, fmt.Errorf("the fragment index of the part does not match its sizes at byte %d: the length is %d, and 1 to %d are possible", at, n, max(size.limit, 0))
			}
			*size.to = int64(n)
			at += width
		}
		if f.checked {
			if len(index)-at < checksumSize {
				return nil, fmt.Errorf("the fragment index of the part is truncated at byte %d", at)
			}
			f.crc = binary.LittleEndian.Uint32(index[at:])
			at += checksumSize
		}
		identity += f.identitySize
		gzip += f.gzipSize
		fragments = append(fragments, f)
	}
	if identity != bytes || gzip != gzipSize-trailerSize {
		return nil, fmt.Errorf("the fragment index of the part ends at %d identity and %d gzip bytes; the part has %d and %d", identity, gzip+trailerSize, bytes, gzipSize)
	}
	return fragments, nil
}
