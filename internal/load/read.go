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

// peekSize is the number of bytes that decide the format of an input.
const peekSize = 1 << 20

// piece is a piece of an input: the text of a resource, of a Bundle or of a Bundle
// entry, or a refusal made while reading.
type piece struct {
	file      string
	line      int    // of its start, from 1
	text      []byte // of a refusal: as far as it could be read; valid only during the call
	entry     bool
	number    int       // of an entry in its Bundle, from 0
	urls      *fullURLs // of the Bundle of an entry
	refusal   *Refusal
	candidate *candidate // the refused resource, if there is no text
	removal   bool       // the text names a resource that is removed, as Type/id
	part      bool       // of a refusal: the resources in the text are refused with other lines
}

// inputReader reads inputs one after the other and calls emit for each piece.
type inputReader struct {
	emit      func(piece) error
	changes   bool  // lists of changes and of removals are read, otherwise refused
	bytesRead int64 // of all inputs so far, before decompression

	urls    []*fullURLs // of the Bundles that follow in an input that is read entry by entry
	opened  func()      // is called at the start of each such Bundle. Optional
	notices []string    // see Summary.Notices
}

// brokenInput is the error of an input that could not be read to its end.
type brokenInput struct {
	file string
	line int
	text []byte // the start of the piece that could not be read whole
	err  error
}

func (b *brokenInput) Error() string {
	return fmt.Sprintf("read %s beyond line %d: %v", b.file, b.line, b.err)
}

func (b *brokenInput) Unwrap() error { return b.err }

// readInput reads one input to its end. It returns a [brokenInput] if the input cannot be
// read. Other errors are those of emit and end the load.
func (s *inputReader) readInput(ctx context.Context, in Input) error {
	file, err := in.Open()
	if err != nil {
		return &brokenInput{in.Name, 0, nil, err}
	}
	defer file.Close()
	raw := bufio.NewReaderSize(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := file.Read(p)
		s.bytesRead += int64(n)
		return n, err
	}), 1<<16)
	plain, unzipped, err := decompressed(raw)
	if err != nil {
		return &brokenInput{in.Name, 0, nil, err}
	}
	if unzipped != nil {
		defer func() {
			if n := unzipped.trailing; n > 0 {
				s.notices = append(s.notices, fmt.Sprintf("%s: ignored %d bytes after the end of the gzip data; everything before them was read", in.Name, n))
			}
		}()
	}
	buffered := bufio.NewReaderSize(plain, peekSize)
	head, _ := buffered.Peek(peekSize)
	f := formatOf(head, len(head) < peekSize)
	if s.changes {
		switch f {
		case changeLines:
			return s.readChangeList(in, buffered)
		case removalLines:
			return s.readRemovals(in.Name, buffered)
		}
	}
	switch f {
	case bundle:
		return s.readBundlesTwice(ctx, in, buffered)
	case jsonText:
		return s.readDocuments(in.Name, buffered)
	case ndjson:
		return s.readLines(in.Name, buffered)
	default:
		return s.refuseFormat(in.Name, f, buffered)
	}
}

// decompressed returns a reader of the text of an input. gzip is nil if it is not compressed.
func decompressed(raw *bufio.Reader) (plain io.Reader, gzip *gunzip, err error) {
	if magic, _ := raw.Peek(2); !bytes.Equal(magic, gzipMagic) {
		return raw, nil, nil
	}
	gzip, err = newGunzip(raw)
	return gzip, gzip, err
}

// readLines reads NDJSON. Consecutive lines that do not look like a resource are collected,
// since together they may be one resource written over several lines.
func (s *inputReader) readLines(name string, r io.Reader) error {
	lines := fhir.NewLineReader(r)
	var skipped []candidate
	scanner := &lenientScanner{found: func(one candidate) { skipped = append(skipped, one) }}
	lines.Skipped = scanner
	fragments := lineRun{inputReader: s, file: name}
	for {
		text, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return fragments.flush()
		case errors.Is(err, fhir.ErrLineTooLong):
			scanner.end()
			err = fragments.flush()
			if err == nil {
				err = s.refuse(piece{file: name, line: lines.Line(), refusal: refuse(TooLarge, "%v", fhir.ErrLineTooLong)}, skipped)
			}
			skipped = nil
		case err != nil:
			return errors.Join(fragments.flush(), &brokenInput{name, lines.Line(), bytes.Clone(lines.Rest()), err})
		case isWhole(text):
			if err = fragments.flush(); err == nil {
				err = s.emit(piece{file: name, line: lines.Line(), text: text})
			}
		default:
			err = fragments.add(lines.Line(), text)
		}
		if err != nil {
			return err
		}
	}
}

// isWhole reports whether a line looks like a whole resource.
func isWhole(line []byte) bool {
	return line[0] == '{' && line[len(line)-1] == '}' && bytes.Contains(line, []byte("resourceType"))
}

// lineRun is a run of consecutive lines that do not look like resources.
type lineRun struct {
	*inputReader
	file  string
	lines []int // line numbers
	ends  []int // offsets of the line ends in text
	text  []byte
}

// add appends a line. It flushes a run that is too long.
func (r *lineRun) add(line int, text []byte) error {
	r.text = append(r.text, text...)
	r.text = append(r.text, '\n')
	r.lines, r.ends = append(r.lines, line), append(r.ends, len(r.text))
	if len(r.text) > fhir.MaxLine {
		return r.flush()
	}
	return nil
}

// flush emits the lines, and a refusal for each resource that several of them form.
func (r *lineRun) flush() error {
	single := map[candidate]bool{} // candidates within one line
	several := len(r.lines) > 1
	start := 0
	for n, end := range r.ends {
		line := bytes.TrimSuffix(r.text[start:end], []byte("\n"))
		part := several && !bytes.Contains(line, []byte("resourceType"))
		if several && !part {
			for _, s := range findCandidates(line) {
				single[s] = true
			}
		}
		if err := r.emit(piece{file: r.file, line: r.lines[n], text: line, part: part}); err != nil {
			return err
		}
		start = end
	}
	var spread []candidate // over several lines
	if several {
		spread = slices.DeleteFunc(findCandidates(r.text), func(s candidate) bool { return single[s] })
	}
	if len(spread) > 0 {
		p := piece{file: r.file, line: r.lines[0], refusal: refuse(BadJSON, "the resource is written over several lines of an NDJSON file: write it on one line, or in its own file")}
		if err := r.refuse(p, spread); err != nil {
			return err
		}
	}
	r.lines, r.ends, r.text = r.lines[:0], r.ends[:0], r.text[:0]
	return nil
}

// refuse emits a refusal for each candidate, or one refusal without a name if there is none.
func (s *inputReader) refuse(p piece, candidates []candidate) error {
	if len(candidates) == 0 {
		return s.emit(p)
	}
	for n := range candidates {
		p.candidate = &candidates[n]
		if err := s.emit(p); err != nil {
			return err
		}
	}
	return nil
}

// readerFunc is a function as an [io.Reader].
type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
