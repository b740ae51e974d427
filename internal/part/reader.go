package part

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
)

// reader reads the identity form of a part.
type reader struct {
	r         io.ReaderAt
	fragments []fragment
	size      int64
	at        int64 // the next byte to read

	inflate io.ReadCloser // stands in fragment open, before identity byte stand
	open    int           // -1 for none
	stand   int64
	crc     uint32 // of the bytes of the open fragment before stand
}

// NewReader reads the identity bytes of the part in r: gzipSize is the length of
// its stream, bytes that of its identity form, index the one of its [Summary].
// A read decodes only the fragments that it touches, each from its beginning, so
// a seek costs at most one fragment. An index that does not fit the sizes is an
// error. The reader is not safe for use by several goroutines, but several
// readers of one r are. Close frees the decoder and leaves r open.
func NewReader(r io.ReaderAt, gzipSize, bytes int64, index []byte) (io.ReadSeekCloser, error) {
	fragments, err := decodeIndex(index, gzipSize, bytes)
	if err != nil {
		return nil, err
	}
	return &reader{r: r, fragments: fragments, size: bytes, open: -1}, nil
}

// Read implements [io.Reader]. One call reads from one fragment at most.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.at >= r.size {
		return 0, io.EOF
	}
	n, found := slices.BinarySearchFunc(r.fragments, r.at, func(f fragment, at int64) int {
		switch {
		case at < f.identity:
			return 1
		case at >= f.identity+f.identitySize:
			return -1
		}
		return 0
	})
	if !found {
		return 0, io.EOF // cannot be: fragments cover [0, size)
	}
	if err := r.moveTo(n); err != nil {
		return 0, r.broken(n, err)
	}
	f := r.fragments[n]
	got, err := r.decode(f, p[:min(int64(len(p)), f.identity+f.identitySize-r.at)])
	if errors.Is(err, errChanged) {
		return 0, r.broken(n, err)
	}
	r.at += int64(got)
	if got > 0 {
		return got, nil // an error comes again with the next read
	}
	if err == nil {
		return 0, nil
	}
	return 0, r.broken(n, err)
}

// errChanged tells that bytes were decoded that are not those that were written.
var errChanged = errors.New("the checksum is wrong: the file was changed after it was written")

// decode reads the next bytes of the open fragment f into p, which ends within it. With
// the last of them it checks the fragment.
func (r *reader) decode(f fragment, p []byte) (int, error) {
	n, err := r.inflate.Read(p)
	r.stand += int64(n)
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	if n > 0 && f.checked && r.stand == f.identity+f.identitySize && r.crc != f.crc {
		return 0, errChanged
	}
	return n, err
}

// moveTo lets the decoder stand in fragment n before byte r.at.
func (r *reader) moveTo(n int) error {
	f := r.fragments[n]
	if r.open != n || r.stand > r.at {
		stream := io.NewSectionReader(r.r, f.gzip, f.gzipSize)
		if r.inflate == nil {
			r.inflate = flate.NewReader(stream)
		} else if err := r.inflate.(flate.Resetter).Reset(stream, nil); err != nil {
			return err
		}
		r.open, r.stand, r.crc = n, f.identity, 0
	}
	if r.stand == r.at {
		return nil
	}
	skipped := make([]byte, min(r.at-r.stand, 32<<10))
	for r.stand < r.at {
		got, err := r.decode(f, skipped[:min(r.at-r.stand, int64(len(skipped)))])
		if err != nil && got == 0 {
			return err
		}
	}
	return nil
}

// broken tells where the stored bytes are not what the index promises. The
// decoder is given up: the next read starts the fragment again.
func (r *reader) broken(n int, err error) error {
	r.open = -1
	if errors.Is(err, io.EOF) {
		// Never io.EOF: the caller would take the rest for absent.
		err = io.ErrUnexpectedEOF
	}
	f := r.fragments[n]
	return fmt.Errorf("reading a part: fragment %d of %d, gzip bytes %d to %d: %w", n+1, len(r.fragments), f.gzip, f.gzip+f.gzipSize, err)
}

// Seek implements [io.Seeker]. It costs nothing; the next read does the work.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seeking in a part: unknown whence %d", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seeking in a part: offset %d lies before its start", offset)
	}
	r.at = offset
	return offset, nil
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	if r.inflate == nil {
		return nil
	}
	inflate := r.inflate
	r.inflate, r.open = nil, -1
	return inflate.Close()
}
