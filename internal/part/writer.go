package part

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"muster/internal/damage"

	"github.com/klauspost/compress/flate"
)

// fragmentSize is the number of identity bytes at which a fragment is full.
const fragmentSize = 1 << 20

// level is the compression level. Compression is the bottleneck of an export, and higher
// levels save little, because resources are repetitive.
const level = flate.BestSpeed

var header = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff}

// lastBlock is an empty final block with fixed Huffman codes.
var lastBlock = []byte{0x03, 0x00}

const trailerSize = 2 + 4 + 4 // last block, CRC-32, length

// Summary describes a written part.
type Summary struct {
	Count     int64  // lines
	Bytes     int64  // identity bytes, newlines included
	GzipBytes int64  // bytes of the stream
	SHA256    string // hex, of the identity bytes
	Index     []byte // of the fragments; see the package documentation
}

// Writer writes one part. Equal lines give equal bytes, so a part that is written again
// after a crash is the same (D7). Not safe for concurrent use.
type Writer struct {
	w       countingWriter
	deflate *flate.Writer
	pending []byte // lines of the current fragment
	sha     hash.Hash
	crc     uint32
	entries []byte // of the index
	sum     Summary
	err     error // the first error; all later calls return it
}

var errClosed = errors.New("the part is already closed")

// NewWriter returns a writer of a part to w. It writes nothing before the first fragment
// is full or the part is closed.
func NewWriter(w io.Writer) *Writer {
	deflate, err := flate.NewWriter(nil, level)
	return &Writer{
		w:       countingWriter{w: w},
		deflate: deflate,
		pending: make([]byte, 0, fragmentSize+fragmentSize/8),
		sha:     sha256.New(),
		err:     err,
	}
}

// WriteLine writes a line and adds the newline. The line must not contain a newline: a
// resource is one line (RE-07). The bytes are copied.
func (w *Writer) WriteLine(line []byte) error {
	if w.err != nil {
		return w.err
	}
	w.pending = append(w.pending, line...)
	w.pending = append(w.pending, '\n')
	w.sum.Count++
	if len(w.pending) >= fragmentSize {
		w.flush()
	}
	return w.err
}

// Close ends the stream and returns its summary. It does not close the underlying writer.
// Close is called once.
func (w *Writer) Close() (Summary, error) {
	if len(w.pending) > 0 {
		w.flush()
	}
	w.start()
	w.write(trailerOf(w.crc, w.sum.Bytes))
	if w.err != nil {
		return Summary{}, w.err
	}
	w.err = errClosed
	w.sum.GzipBytes = w.w.n
	w.sum.SHA256 = hex.EncodeToString(w.sha.Sum(nil))
	sealed := append(binary.LittleEndian.AppendUint32(nil, w.crc), w.entries...)
	w.sum.Index = append(seal(&w.sum, sealed).Append([]byte{indexVersion}), sealed...)
	return w.sum, nil
}

// flush writes the pending lines as one fragment. The compressor is reset for each, so
// that a fragment has no references to earlier ones.
func (w *Writer) flush() {
	w.start()
	if w.err != nil {
		return
	}
	before := w.w.n
	w.w.sum = 0
	w.deflate.Reset(&w.w)
	if _, err := w.deflate.Write(w.pending); err != nil {
		w.fail(err)
		return
	}
	if err := w.deflate.Flush(); err != nil {
		w.fail(err)
		return
	}
	w.sha.Write(w.pending)
	w.crc = crc32.Update(w.crc, crc32.IEEETable, w.pending)
	w.sum.Bytes += int64(len(w.pending))
	w.entries = binary.AppendUvarint(w.entries, uint64(len(w.pending)))
	w.entries = binary.AppendUvarint(w.entries, uint64(w.w.n-before))
	w.entries = binary.LittleEndian.AppendUint32(w.entries, crc32.ChecksumIEEE(w.pending))
	w.entries = w.w.sum.Append(w.entries)
	w.pending = w.pending[:0]
}

// start writes the gzip header first.
func (w *Writer) start() {
	if w.w.n == 0 {
		w.write(header)
	}
}

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	if _, err := w.w.Write(p); err != nil {
		w.fail(err)
	}
}

func (w *Writer) fail(err error) {
	w.err = fmt.Errorf("write part: byte %d of the gzip stream: %w", w.w.n, err)
}

// countingWriter counts the bytes written, and sums those of a fragment.
type countingWriter struct {
	w   io.Writer
	n   int64
	sum damage.Sum
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.sum = c.sum.Add(p[:n])
	return n, err
}
