package part

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// EachLine yields the lines of a gzip stream of NDJSON, without their newlines. A line is valid
// during the call of yield only. An error of yield ends the iteration and is returned.
func EachLine(stream []byte, yield func(line []byte) error) error {
	text, err := gzip.NewReader(bytes.NewReader(stream))
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	lines := bufio.NewReaderSize(text, 64<<10)
	var line []byte
	for {
		piece, err := lines.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case err == nil:
			if err := yield(line[:len(line)-1]); err != nil {
				return err
			}
			line = line[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("read lines: the last line has no end")
		default:
			return fmt.Errorf("read lines: %w", err)
		}
	}
}

// CountLines returns the number of lines in a gzip stream of NDJSON, and their bytes with the
// newlines.
func CountLines(stream []byte) (lines, size int64, err error) {
	err = EachLine(stream, func(line []byte) error {
		lines++
		size += int64(len(line)) + 1
		return nil
	})
	return lines, size, err
}
