package part

import (
	"errors"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// reader reads the identity form of a part.
type reader struct {
	source
	index  index
	size   int64
	offset int64 // of the next byte to read

	inflate io.ReadCloser // decodes fragment current, at identity offset decoded
	current int           // index of the fragment, or -1
	decoded int64
	crc     uint32 // of the bytes of the current fragment before decoded
}

// NewReader returns a reader of the identity bytes of the part in r. A read verifies and decodes
// only the fragments that it overlaps, each from its start, so a seek costs at most one fragment.
// No byte of a fragment is returned before the fragment is verified. An index that does not match
// the summary is an error. The reader is not safe for concurrent use, but several readers of one r
// are. Close frees the decoder and does not close r.
func NewReader(r io.ReaderAt, s Summary) (io.ReadSeekCloser, error) {
	decoded, err := decodeIndex(&s)
	if err != nil {
		return nil, damaged(err)
	}
	return &reader{source: source{r}, index: decoded, size: s.Bytes, current: -1}, nil
}

// Read implements [io.Reader]. A call reads from at most one fragment.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.offset >= r.size {
		return 0, io.EOF
	}
	n := r.index.find(r.offset, func(f *fragment) int64 { return f.identity })
	if err := r.seekTo(n); err != nil {
		return 0, r.fail(n, err)
	}
	f := r.index.fragments[n]
	got, err := r.decode(f, p[:min(int64(len(p)), f.identity+f.identitySize-r.offset)])
	if errors.Is(err, errChanged) {
		return 0, r.fail(n, err)
	}
	r.offset += int64(got)
	if got > 0 {
		return got, nil // the next read returns the error again
	}
	if err == nil {
		return 0, nil
	}
	return 0, r.fail(n, err)
}

// decode decodes the next bytes of the current fragment f into p, which ends within f.
// With the last byte it verifies the checksum of the fragment.
func (r *reader) decode(f fragment, p []byte) (int, error) {
	n, err := r.inflate.Read(p)
	r.decoded += int64(n)
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	if n > 0 && f.checked && r.decoded == f.identity+f.identitySize && r.crc != f.crc {
		return 0, errChanged
	}
	return n, err
}

// seekTo moves the decoder to byte r.offset in fragment n.
func (r *reader) seekTo(n int) error {
	f := r.index.fragments[n]
	if r.current != n || r.decoded > r.offset {
		if err := r.verify(&f); err != nil {
			return err
		}
		stream := io.NewSectionReader(r.r, f.gzip, f.gzipSize)
		if r.inflate == nil {
			r.inflate = flate.NewReader(stream)
		} else if err := r.inflate.(flate.Resetter).Reset(stream, nil); err != nil {
			return err
		}
		r.current, r.decoded, r.crc = n, f.identity, 0
	}
	if r.decoded == r.offset {
		return nil
	}
	skipped := make([]byte, min(r.offset-r.decoded, 32<<10))
	for r.decoded < r.offset {
		got, err := r.decode(f, skipped[:min(r.offset-r.decoded, int64(len(skipped)))])
		if err != nil && got == 0 {
			return err
		}
	}
	return nil
}

// fail adds the position of the fragment to an error. The next read decodes the fragment
// again from its start.
func (r *reader) fail(n int, err error) error {
	r.current = -1
	return r.index.fail(n, err)
}

// Seek implements [io.Seeker]. It only sets the offset; the next read does the work.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	return seek(&r.offset, r.size, offset, whence)
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	if r.inflate == nil {
		return nil
	}
	inflate := r.inflate
	r.inflate, r.current = nil, -1
	return inflate.Close()
}
