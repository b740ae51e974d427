package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"muster/internal/fhir"
)

// documents reads JSON values, one after the other, over as many lines as they
// take.
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

// bundles reads Bundles entry by entry, so their length does not matter.
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

// bundle reads one Bundle. It returns io.EOF when there is none any more.
func (s *inputReader) readBundle(name string, d *decoder) error {
	opening, err := d.json.Token()
	if errors.Is(err, io.EOF) && d.err == nil {
		return io.EOF
	}
	if err == nil && opening != json.Delim('{') {
		err = errNotBundle
	}
	seen := map[string]bool{}
	var read []byte // of the Bundle so far, without entries, to tell what it was if it is none
	for err == nil && d.json.More() {
		var key json.Token
		if key, err = d.json.Token(); err != nil {
			break
		}
		member, _ := key.(string)
		if seen[member] {
			err = fmt.Errorf("a key stands twice in one object")
			break
		}
		seen[member] = true
		if member == "entry" {
			err = s.readEntries(name, d, seen["type"])
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
	errNotBundle = errors.New("this is not a Bundle; write other resources one on each line")
	errHistory   = errors.New("a history Bundle holds old versions; load a collection, transaction, batch or searchset")
)

// entries reads the array of entries. While the type of the Bundle is not known,
// those that may be of a history are refused: FHIR has it that a history has
// requests and responses, and that collections and searchsets have none.
func (s *inputReader) readEntries(name string, d *decoder, typeKnown bool) error {
	opening, err := d.json.Token()
	if err != nil {
		return err
	}
	if opening != json.Delim('[') {
		return errors.New("the entries of a Bundle are an array")
	}
	for d.json.More() {
		text, line, err := d.value()
		if err != nil {
			return err
		}
		var refusal *Refusal
		if !typeKnown && hasRequestOrResponse(text) {
			refusal = refuse(BadEntry, "the entry may be an old version of a history: write the type of the Bundle before its entries").within("entry")
		}
		if err := s.emit(piece{file: name, line: line, text: text, entry: true, refusal: refusal}); err != nil {
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

// emitError carries an error of emit out of a Bundle: it is no fault of the input.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// stopped says why a document was not read to its end: a fault of the text is
// refused, a fault below it breaks the input. What is left of the text is not loaded,
// but looked through: each resource in it is refused by name, so that none that is to be
// hidden goes unnoticed.
//
// read is what was read and not handed on.
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
		err = s.refuseRest(name, line, read, d, refuse(TooLarge, "%v; the rest of the file was not loaded", err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = s.refuseRest(name, line, read, d, refuse(BadJSON, "the JSON text is cut off"))
	case errors.Is(err, errNotBundle), errors.Is(err, errHistory):
		err = s.refuseRest(name, line, read, d, refuse(BadShape, "%v", err))
	default:
		err = s.refuseRest(name, line, read, d, refuse(BadJSON, "the JSON text is not well-formed here; the rest of the file was not loaded"))
	}
	if err != nil {
		return err
	}
	return io.EOF
}

// notRead refuses every resource in what was read of a document and in what is left of it,
// and the document itself if there is none.
func (s *inputReader) refuseRest(name string, line int, read []byte, d *decoder, refusal *Refusal) error {
	left := io.MultiReader(bytes.NewReader(read), d.json.Buffered(), d.r)
	head, err := io.ReadAll(io.LimitReader(left, fhir.MaxLine))
	if len(head) < fhir.MaxLine { // that is all
		emitting := s.emit(piece{file: name, line: line, text: head, refusal: refusal})
		if err != nil && emitting == nil {
			return &brokenInput{name, line, nil, err}
		}
		return emitting
	}
	var emitting error
	g := &lenientScanner{found: func(one candidate) {
		if emitting == nil {
			emitting = s.emit(piece{file: name, line: line, refusal: refusal, candidate: &one})
		}
	}}
	_, err = io.Copy(g, io.MultiReader(bytes.NewReader(head), left))
	g.end()
	if emitting == nil && err != nil {
		return &brokenInput{name, line, nil, err}
	}
	return emitting
}

// decoder reads JSON values from a stream and knows their lines. It takes in no
// more than a few times [fhir.MaxLine] beyond what it has handed out.
type decoder struct {
	json     *json.Decoder
	r        io.Reader
	err      error // why r ended, if not at its end
	offset   int64 // bytes read from r
	limit    int64 // where reading stops
	newlines []int64
	line     int
}

var errTooLarge = fmt.Errorf("a JSON value is longer than %d bytes", fhir.MaxLine)

// readAhead is how far the decoder may read beyond the last value.
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

// lineAt returns the line of an offset; offsets only grow.
func (d *decoder) lineAt(offset int64) int {
	passed := 0
	for passed < len(d.newlines) && d.newlines[passed] < offset {
		passed++
	}
	d.newlines = d.newlines[passed:]
	d.line += passed
	return d.line
}
