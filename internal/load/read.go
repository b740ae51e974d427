package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"muster/internal/fhir"
)

// peek is how much of an input is looked at to tell its format.
const peek = 1 << 20

// piece is a piece of an input: the text of a resource, of a Bundle or of a Bundle
// entry, or a refusal made while reading.
type piece struct {
	file    string
	line    int    // of its start, from 1
	text    []byte // of a refusal as far as it could be read; valid during the call only
	entry   bool
	refusal *Refusal
	seen    *sighting // the resource that is refused, where there is no text
}

// source reads inputs one after the other and hands pieces to emit.
type source struct {
	emit func(piece) error
	read int64 // bytes of all inputs so far, as they are stored

	notices []string // see Summary.Notices
}

// brokenInput says that the rest of an input could not be read.
type brokenInput struct {
	file string
	line int
	text []byte // the beginning of what could not be read whole
	err  error
}

func (b *brokenInput) Error() string {
	return fmt.Sprintf("%s cannot be read beyond line %d: %v", b.file, b.line, b.err)
}

func (b *brokenInput) Unwrap() error { return b.err }

// input reads one input to its end. A [brokenInput] is its own trouble; other
// errors are those of emit and end the load.
func (s *source) input(ctx context.Context, in Input) error {
	file, err := in.Open()
	if err != nil {
		return &brokenInput{in.Name, 0, nil, err}
	}
	defer file.Close()
	raw := bufio.NewReaderSize(&counting{ctx, file, &s.read}, 1<<16)
	var plain io.Reader = raw
	if magic, _ := raw.Peek(2); bytes.Equal(magic, gzipMagic) {
		unzipped, err := newGunzip(raw)
		if err != nil {
			return &brokenInput{in.Name, 0, nil, err}
		}
		defer func() {
			if n := unzipped.trailing; n > 0 {
				s.notices = append(s.notices, fmt.Sprintf("%s: %d bytes after the end of the gzip data are not gzip and were left out; all before them was read", in.Name, n))
			}
		}()
		plain = unzipped
	}
	buffered := bufio.NewReaderSize(plain, peek)
	head, _ := buffered.Peek(peek)
	switch formatOf(head, len(head) < peek) {
	case bundle:
		return s.bundles(in.Name, buffered)
	case jsonText:
		return s.documents(in.Name, buffered)
	}
	return s.lines(in.Name, buffered)
}

// lines reads NDJSON.
func (s *source) lines(name string, r io.Reader) error {
	lines := fhir.NewLineReader(r)
	var skipped []sighting
	reading := &glimpser{found: func(one sighting) { skipped = append(skipped, one) }}
	lines.Skipped = reading
	for {
		text, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, fhir.ErrLineTooLong):
			reading.end()
			err = s.refuse(piece{file: name, line: lines.Line(), refusal: refuse(TooLarge, "%v", fhir.ErrLineTooLong)}, skipped)
			skipped = nil
		case err != nil:
			return &brokenInput{name, lines.Line(), bytes.Clone(lines.Rest()), err}
		default:
			err = s.emit(piece{file: name, line: lines.Line(), text: text})
		}
		if err != nil {
			return err
		}
	}
}

// refuse emits a refusal for each resource that was seen in what is refused, or one if
// none was.
func (s *source) refuse(p piece, seen []sighting) error {
	if len(seen) == 0 {
		return s.emit(p)
	}
	for n := range seen {
		p.seen = &seen[n]
		if err := s.emit(p); err != nil {
			return err
		}
	}
	return nil
}

// counting counts the bytes that are read, and stops when ctx ends.
type counting struct {
	ctx context.Context
	r   io.Reader
	n   *int64
}

func (c *counting) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}
