package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"muster/internal/fhir"
)

// readDocuments reads consecutive JSON values, each of any number of lines.
func (s *inputReader) readDocuments(name string, r io.Reader) error {
	d := newDecoder(r)
	for {
		text, line, err := d.value()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.refuseFrom(name, d, text, err)
		}
		if err := s.emit(piece{file: name, line: line, text: text}); err != nil {
			return err
		}
	}
}

// readBundles reads Bundles entry by entry, so memory does not grow with their length.
func (s *inputReader) readBundles(name string, r io.Reader) error {
	d := newDecoder(r)
	for {
		if err := s.readBundle(name, d); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// readBundle reads one Bundle. It returns io.EOF after the last one.
func (s *inputReader) readBundle(name string, d *decoder) error {
	opening, err := d.json.Token()
	if errors.Is(err, io.EOF) && d.err == nil {
		return io.EOF
	}
	if err == nil && opening != json.Delim('{') {
		err = errNotBundle
	}
	if s.opened != nil {
		s.opened()
	}
	var urls *fullURLs
	if len(s.urls) > 0 {
		urls, s.urls = s.urls[0], s.urls[1:]
	}
	seen := map[string]bool{}
	var read []byte // the members so far, without entries, to scan them if the Bundle is refused
	for err == nil && d.json.More() {
		var key json.Token
		if key, err = d.json.Token(); err != nil {
			break
		}
		member, _ := key.(string)
		if seen[member] {
			err = fmt.Errorf("an object has the same key twice")
			break
		}
		seen[member] = true
		if member == "entry" {
			err = s.readEntries(name, d, seen["type"], urls)
			continue
		}
		var text []byte
		var line int
		text, line, err = d.value()
		if read = fmt.Appendf(read, "%q:%s,\n", member, text); len(read) > fhir.MaxLine {
			read = read[:0]
		}
		if err != nil {
			break
		}
		if bytes.Contains(text, []byte("resourceType")) {
			if err := s.emit(piece{file: name, line: line, text: text, refusal: refuse(BadEntry, "%s", outsideEntries)}); err != nil {
				return err
			}
		}
		switch {
		case member == "resourceType" && string(text) != `"Bundle"`:
			err = errNotBundle
		case member == "type" && string(text) == `"history"`:
			err = errHistory
		}
	}
	if err == nil {
		_, err = d.json.Token()
	}
	if err != nil {
		return s.refuseFrom(name, d, append([]byte("{"), read...), err)
	}
	return nil
}

var (
	errNotBundle = errors.New("this is not a Bundle: write other resources one on each line")
	errHistory   = errors.New("a history Bundle holds old versions: load a collection, transaction, batch or searchset")
)

// readEntries reads the array of entries of the Bundle in file name. urls are their fullUrls.
// If the type of the Bundle has not been read yet, it refuses each entry that has a request
// or a response, because the Bundle may be a history, which holds old versions. Entries of a
// collection or searchset have neither.
func (s *inputReader) readEntries(name string, d *decoder, typeKnown bool, urls *fullURLs) error {
	opening, err := d.json.Token()
	if err != nil {
		return err
	}
	if opening != json.Delim('[') {
		return errors.New("the entries of a Bundle are not an array")
	}
	for number := 0; d.json.More(); number++ {
		text, line, err := d.value()
		if err != nil {
			return err
		}
		var refusal *Refusal
		if !typeKnown && hasRequestOrResponse(text) {
			refusal = refuse(BadEntry, "the entry may be an old version of a history: write the type of the Bundle before its entries").within(indexed("entry", number))
		}
		if err := s.emit(piece{file: name, line: line, text: text, entry: true, number: number, urls: urls, refusal: refusal}); err != nil {
			return &emitError{err}
		}
	}
	_, err = d.json.Token()
	return err
}

func hasRequestOrResponse(entry []byte) bool {
	var has struct{ Request, Response json.RawMessage }
	return json.Unmarshal(entry, &has) == nil && (has.Request != nil || has.Response != nil)
}

// emitError is an error of emit inside a Bundle. The input is not at fault.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// refuseFrom handles a document that could not be read to its end. Invalid text is refused;
// an error of the underlying reader breaks the input. The rest of the text is not loaded
// but scanned: each resource in it is refused by name, so that resources that must be
// hidden are found.
//
// read is the text that was read and not emitted.
func (s *inputReader) refuseFrom(name string, d *decoder, read []byte, err error) error {
	var emitted *emitError
	line := d.lineAt(d.json.InputOffset())
	switch {
	case errors.As(err, &emitted):
		return emitted.err
	case d.err != nil && !errors.Is(d.err, errTooLarge):
		left, _ := io.ReadAll(io.LimitReader(d.json.Buffered(), fhir.MaxLine))
		return &brokenInput{name, line, left, d.err}
	case errors.Is(err, errTooLarge):
		err = s.refuseRest(name, line, read, d, refuse(TooLarge, "%v: the rest of the file was not loaded", err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = s.refuseRest(name, line, read, d, refuse(BadJSON, "the JSON text is cut off"))
	case errors.Is(err, errNotBundle), errors.Is(err, errHistory):
		err = s.refuseRest(name, line, read, d, refuse(BadShape, "%v", err))
	default:
		err = s.refuseRest(name, line, read, d, refuse(BadJSON, "the JSON text is not well-formed here: the rest of the file was not loaded"))
	}
	if err != nil {
		return err
	}
	return io.EOF
}

// refuseRest refuses every resource in the text that was read and in the rest of the
// document, or the document itself if it has none.
func (s *inputReader) refuseRest(name string, line int, read []byte, d *decoder, refusal *Refusal) error {
	rest := io.MultiReader(bytes.NewReader(read), d.json.Buffered(), d.r)
	head, err := io.ReadAll(io.LimitReader(rest, fhir.MaxLine))
	if len(head) < fhir.MaxLine { // this is the whole rest
		emitErr := s.emit(piece{file: name, line: line, text: head, refusal: refusal})
		if err != nil && emitErr == nil {
			return &brokenInput{name, line, nil, err}
		}
		return emitErr
	}
	emit := func(c candidate) error {
		return s.emit(piece{file: name, line: line, refusal: refusal, candidate: &c})
	}
	return s.eachCandidate(name, line, io.MultiReader(bytes.NewReader(head), rest), emit)
}

// eachCandidate calls found for each resource in a text of any length. An error of the text's
// reader breaks the input.
func (s *inputReader) eachCandidate(name string, line int, r io.Reader, found func(candidate) error) error {
	var emitErr error
	emit := func(c candidate) {
		if emitErr == nil {
			emitErr = found(c)
		}
	}
	scanner := &lenientScanner{found: emit}
	urls := &urlScanner{found: emit}
	_, err := io.Copy(io.MultiWriter(scanner, urls), r)
	scanner.end()
	urls.end()
	if emitErr == nil && err != nil {
		return &brokenInput{name, line, nil, err}
	}
	return emitErr
}

// decoder reads JSON values and their line numbers from a stream. It buffers at most a few
// times [fhir.MaxLine].
type decoder struct {
	json     *json.Decoder
	r        io.Reader
	err      error // of r, other than io.EOF
	offset   int64 // bytes read from r
	limit    int64 // offset at which reading stops
	newlines []int64
	line     int
}

var errTooLarge = fmt.Errorf("a JSON value is longer than %d bytes", fhir.MaxLine)

// readAhead is the number of bytes that the decoder may read beyond the last value.
const readAhead = 4 * fhir.MaxLine

func newDecoder(r io.Reader) *decoder {
	d := &decoder{r: r, limit: readAhead, line: 1}
	d.json = json.NewDecoder(d)
	return d
}

// Read implements io.Reader for the JSON decoder.
func (d *decoder) Read(p []byte) (int, error) {
	if room := d.limit - d.offset; int64(len(p)) > room {
		p = p[:room]
	}
	if len(p) == 0 {
		d.err = errTooLarge
		return 0, errTooLarge
	}
	n, err := d.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			d.newlines = append(d.newlines, d.offset+int64(i))
		}
	}
	d.offset += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = err
	}
	return n, err
}

// value reads the next value and the line on which it starts.
func (d *decoder) value() ([]byte, int, error) {
	var text json.RawMessage
	if err := d.json.Decode(&text); err != nil {
		return nil, 0, err
	}
	end := d.json.InputOffset()
	d.limit = end + readAhead
	if len(text) > fhir.MaxLine {
		return text, 0, errTooLarge
	}
	return text, d.lineAt(end - int64(len(text))), nil
}

// lineAt returns the line of an offset. Offsets must not decrease from call to call.
func (d *decoder) lineAt(offset int64) int {
	passed := 0
	for passed < len(d.newlines) && d.newlines[passed] < offset {
		passed++
	}
	d.newlines = d.newlines[passed:]
	d.line += passed
	return d.line
}
