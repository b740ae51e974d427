package part

import (
	"fmt"
	"io"

	"muster/internal/damage"
)

// streamReader reads the gzip form of a part: the header, the fragments and the trailer.
type streamReader struct {
	source
	index  index
	size   int64
	offset int64 // of the next byte to read

	current int // index of the verified fragment that offset was in last, or -1
	summed  int64
	sum     damage.Sum // of the bytes of the current fragment before summed; valid if they were read in order
}

// NewStreamReader returns a reader of the gzip bytes of the part in r. It verifies each fragment
// before it returns a byte of it. The reader is not safe for concurrent use, but several readers
// of one r are.
func NewStreamReader(r io.ReaderAt, s Summary) (io.ReadSeeker, error) {
	decoded, err := decodeIndex(&s)
	if err != nil {
		return nil, damaged(err)
	}
	return &streamReader{source: source{r}, index: decoded, size: s.GzipBytes, current: -1}, nil
}

// Read implements [io.Reader]. A call reads from at most one fragment.
func (r *streamReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	end := r.size - trailerSize
	switch {
	case r.offset >= r.size:
		return 0, io.EOF
	case r.offset < int64(len(header)):
		return r.copied(p, header[r.offset:]), nil
	case r.offset >= end && r.index.trailer != nil:
		return r.copied(p, r.index.trailer[r.offset-end:]), nil
	case r.offset >= end:
		n, err := r.r.ReadAt(p[:min(int64(len(p)), r.size-r.offset)], r.offset)
		r.offset += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	return r.readFragment(p)
}

// copied copies bytes that are known without the file.
func (r *streamReader) copied(p, known []byte) int {
	n := copy(p, known)
	r.offset += int64(n)
	return n
}

func (r *streamReader) readFragment(p []byte) (int, error) {
	n := r.index.find(r.offset, func(f *fragment) int64 { return f.gzip })
	f := &r.index.fragments[n]
	if n != r.current {
		if err := r.verify(f); err != nil {
			return 0, r.index.fail(n, err)
		}
		r.current, r.summed, r.sum = n, f.gzip, 0
	}
	end := f.gzip + f.gzipSize
	got, err := r.r.ReadAt(p[:min(int64(len(p)), end-r.offset)], r.offset)
	if got == 0 {
		return 0, r.index.fail(n, err)
	}
	// The file may change between the verification and this read, which may be hours later.
	if f.summed && r.summed == r.offset {
		r.sum, r.summed = r.sum.Add(p[:got]), r.summed+int64(got)
		if r.summed == end && r.sum != f.sum {
			r.current = -1
			return 0, r.index.fail(n, errChanged)
		}
	}
	r.offset += int64(got)
	return got, nil
}

// Seek implements [io.Seeker]. It only sets the offset; the next read does the work.
func (r *streamReader) Seek(offset int64, whence int) (int64, error) {
	return seek(&r.offset, r.size, offset, whence)
}

// seek implements [io.Seeker] for a reader that is at *at, of size bytes.
func seek(at *int64, size, offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += *at
	case io.SeekEnd:
		offset += size
	default:
		return 0, fmt.Errorf("seek in part: unknown whence %d", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in part: offset %d is before its start", offset)
	}
	*at = offset
	return offset, nil
}
