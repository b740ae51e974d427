package fhir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the maximum length of an NDJSON line that muster reads or writes, in bytes
// without the newline. Common clients accept at most 10 MB (OF-27).
const MaxLine = 8 << 20

// ErrLineTooLong is the error for a line longer than [MaxLine]. The reader has skipped the
// line and continues with the next one.
var ErrLineTooLong = fmt.Errorf("the line is longer than %d bytes", MaxLine)

// LineReader reads NDJSON line by line in bounded memory (D12).
type LineReader struct {
	// Skipped receives the bytes of lines that are too long. Optional.
	Skipped io.Writer

	r   *bufio.Reader
	buf []byte
	n   int
}

// NewLineReader returns a reader of the lines of r. It skips a byte order mark at the start.
func NewLineReader(r io.Reader) *LineReader {
	br := bufio.NewReaderSize(r, 1<<20)
	if head, _ := br.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = br.Discard(3)
	}
	return &LineReader{r: br}
}

// Line returns the number of the last line read, from 1.
func (l *LineReader) Line() int { return l.n }

// Next returns the next line that is not blank, without surrounding white space. The bytes
// are valid until the next call. It returns io.EOF after the last line, and
// [ErrLineTooLong] for a line that is too long.
func (l *LineReader) Next() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// read returns one line, blank or not.
func (l *LineReader) read() ([]byte, error) {
	l.buf = l.buf[:0]
	tooLong := false
	for {
		piece, err := l.r.ReadSlice('\n')
		if !tooLong && len(l.buf)+len(piece) > MaxLine+1 {
			tooLong = true
			l.skip(l.buf)
		}
		if tooLong {
			l.skip(piece)
		} else {
			l.buf = append(l.buf, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(l.buf) == 0 && len(piece) == 0 && !tooLong {
				return nil, io.EOF
			}
		case err != nil:
			return nil, err
		}
		l.n++
		if tooLong {
			return nil, ErrLineTooLong
		}
		return l.buf, nil
	}
}

// skip writes a piece of a line that is too long to Skipped.
func (l *LineReader) skip(piece []byte) {
	if l.Skipped != nil {
		_, _ = l.Skipped.Write(piece)
	}
}

// Rest returns the incomplete line after an error other than [ErrLineTooLong].
func (l *LineReader) Rest() []byte { return l.buf }

// AppendEscapedLine appends a JSON text to dst with U+0085, U+2028 and U+2029 as \u
// escapes, so that no reader takes a character inside a string for a line end (RE-07). The
// text must be valid JSON in UTF-8.
func AppendEscapedLine(dst, json []byte) []byte {
	start := 0
	for i := 0; i < len(json); i++ {
		var escape string
		size := 0
		switch {
		case json[i] == 0xc2 && i+1 < len(json) && json[i+1] == 0x85:
			escape, size = `\u0085`, 2
		case json[i] == 0xe2 && i+2 < len(json) && json[i+1] == 0x80 && json[i+2] == 0xa8:
			escape, size = `\u2028`, 3
		case json[i] == 0xe2 && i+2 < len(json) && json[i+1] == 0x80 && json[i+2] == 0xa9:
			escape, size = `\u2029`, 3
		default:
			continue
		}
		dst = append(dst, json[start:i]...)
		dst = append(dst, escape...)
		i += size - 1
		start = i + 1
	}
	return append(dst, json[start:]...)
}
