package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"muster/internal/fhir"
)

// peekSize is how much of an input is looked at to tell its format.
const peekSize = 1 << 20

// piece is a piece of an input: the text of a resource, of a Bundle or of a Bundle
// entry, or a refusal made while reading.
type piece struct {
	file      string
	line      int    // of its start, from 1
	text      []byte // of a refusal as far as it could be read; valid during the call only
	entry     bool
	refusal   *Refusal
	candidate *candidate // the resource that is refused, where there is no text
	part      bool       // of a refusal: the resources in the text are refused with others
}

// inputReader reads inputs one after the other and hands pieces to emit.
type inputReader struct {
	emit      func(piece) error
	bytesRead int64 // bytes of all inputs so far, as they are stored

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
func (s *inputReader) readInput(ctx context.Context, in Input) error {
	file, err := in.Open()
	if err != nil {
		return &brokenInput{in.Name, 0, nil, err}
	}
	defer file.Close()
	raw := bufio.NewReaderSize(&countingReader{ctx, file, &s.bytesRead}, 1<<16)
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
	buffered := bufio.NewReaderSize(plain, peekSize)
	head, _ := buffered.Peek(peekSize)
	switch formatOf(head, len(head) < peekSize) {
	case bundle:
		return s.readBundles(in.Name, buffered)
	case jsonText:
		return s.readDocuments(in.Name, buffered)
	}
	return s.readLines(in.Name, buffered)
}

// lines reads NDJSON. Lines that are no resource by themselves are gathered: together
// they may be one, written over several lines.
func (s *inputReader) readLines(name string, r io.Reader) error {
	lines := fhir.NewLineReader(r)
	var skipped []candidate
	reading := &lenientScanner{found: func(one candidate) { skipped = append(skipped, one) }}
	lines.Skipped = reading
	broken := lineRun{inputReader: s, file: name}
	for {
		text, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return broken.flush()
		case errors.Is(err, fhir.ErrLineTooLong):
			reading.end()
			err = broken.flush()
			if err == nil {
				err = s.refuse(piece{file: name, line: lines.Line(), refusal: refuse(TooLarge, "%v", fhir.ErrLineTooLong)}, skipped)
			}
			skipped = nil
		case err != nil:
			return errors.Join(broken.flush(), &brokenInput{name, lines.Line(), bytes.Clone(lines.Rest()), err})
		case isWhole(text):
			if err = broken.flush(); err == nil {
				err = s.emit(piece{file: name, line: lines.Line(), text: text})
			}
		default:
			err = broken.add(lines.Line(), text)
		}
		if err != nil {
			return err
		}
	}
}

// isWhole reports whether a line looks like a resource by itself.
func isWhole(line []byte) bool {
	return line[0] == '{' && line[len(line)-1] == '}' && bytes.Contains(line, []byte("resourceType"))
}

// lineRun is lines in a row that are no resource by themselves, as far as can be seen.
type lineRun struct {
	*inputReader
	file  string
	lines []int // their numbers
	ends  []int // where they end in text
	text  []byte
}

// add adds a line. A run that is too long is ended.
func (r *lineRun) add(line int, text []byte) error {
	r.text = append(r.text, text...)
	r.text = append(r.text, '\n')
	r.lines, r.ends = append(r.lines, line), append(r.ends, len(r.text))
	if len(r.text) > fhir.MaxLine {
		return r.flush()
	}
	return nil
}

// flush emits the lines, and a refusal for each resource that is written over several of
// them.
func (r *lineRun) flush() error {
	alone := map[candidate]bool{} // those that one line shows
	several := len(r.lines) > 1
	from := 0
	for n, to := range r.ends {
		line := bytes.TrimSuffix(r.text[from:to], []byte("\n"))
		part := several && !bytes.Contains(line, []byte("resourceType"))
		if several && !part {
			for _, s := range findCandidates(line) {
				alone[s] = true
			}
		}
		if err := r.emit(piece{file: r.file, line: r.lines[n], text: line, part: part}); err != nil {
			return err
		}
		from = to
	}
	var over []candidate
	if several {
		over = slices.DeleteFunc(findCandidates(r.text), func(s candidate) bool { return alone[s] })
	}
	if len(over) > 0 {
		p := piece{file: r.file, line: r.lines[0], refusal: refuse(BadJSON, "the resource is written over several lines among others; write it on one line, or in a file of its own")}
		if err := r.refuse(p, over); err != nil {
			return err
		}
	}
	r.lines, r.ends, r.text = r.lines[:0], r.ends[:0], r.text[:0]
	return nil
}

// refuse emits a refusal for each resource that was seen in what is refused, or one if
// none was.
func (s *inputReader) refuse(p piece, seen []candidate) error {
	if len(seen) == 0 {
		return s.emit(p)
	}
	for n := range seen {
		p.candidate = &seen[n]
		if err := s.emit(p); err != nil {
			return err
		}
	}
	return nil
}

// countingReader counts the bytes that are read, and stops when ctx ends.
type countingReader struct {
	ctx context.Context
	r   io.Reader
	n   *int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}
