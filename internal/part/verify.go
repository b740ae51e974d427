package part

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"muster/internal/damage"

	"github.com/klauspost/compress/flate"
)

// errChanged means that bytes differ from the written ones.
var errChanged = errors.New("the checksum is wrong: the file was changed after it was written")

// source is the file of a part.
type source struct{ r io.ReaderAt }

// buffers are used to verify fragments. A download holds none while it waits for its client.
var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// verify reads a fragment and compares it with its checksum. A fragment with a checksum of its
// identity bytes only is decoded. One without any is not verified.
func (s source) verify(f *fragment) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	stream := io.NewSectionReader(s.r, f.gzip, f.gzipSize)
	switch {
	case f.summed:
		var sum damage.Sum
		n, err := io.CopyBuffer(writerFunc(func(p []byte) { sum = sum.Add(p) }), onlyReader{stream}, *buffer)
		if err != nil {
			return err
		}
		if n != f.gzipSize {
			return io.ErrUnexpectedEOF
		}
		if sum != f.sum {
			return errChanged
		}
	case f.checked:
		crc := crc32.NewIEEE()
		inflate := flate.NewReader(stream)
		if _, err := io.CopyBuffer(crc, io.LimitReader(inflate, f.identitySize), *buffer); err != nil {
			return err
		}
		if crc.Sum32() != f.crc {
			return errChanged
		}
	}
	return nil
}

// writerFunc is a function that looks at bytes, as an io.Writer.
type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// onlyReader hides the other methods of a reader, which would not use the buffer.
type onlyReader struct{ io.Reader }

// fail adds the position of a fragment to an error. An error of the disk remains what it is.
func (x index) fail(n int, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // io.EOF would mean that the part is complete
	}
	f := x.fragments[n]
	at := fmt.Errorf("read part: fragment %d of %d, gzip bytes %d to %d: %w", n+1, len(x.fragments), f.gzip, f.gzip+f.gzipSize, err)
	if errors.Is(err, errChanged) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(flate.CorruptInputError)) {
		return damaged(at)
	}
	return at
}

// damaged reports that a file or its index was changed.
func damaged(err error) error {
	return &damage.Error{Kind: damage.File, Err: err,
		Text: "a file of an export is damaged: check the disk, restore the file, or delete the job and export again"}
}
