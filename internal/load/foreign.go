package load

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"golang.org/x/text/encoding/unicode"
)

// OtherFormat is the kind of refusal for an input that is not FHIR in JSON.
const OtherFormat Kind = "file of another format"

// foreignReasons are the reasons for which inputs of other formats are refused, once each.
var foreignReasons = map[format]string{
	changeLines:  "this is a list of changes: use --changes to apply it",
	removalLines: "this is a list of removed resources: use --changes to remove them",
	jsonArray:    "this is a JSON array: write one resource on each line (NDJSON), or a Bundle",
	xmlText:      "this is XML or HTML: a load reads FHIR in JSON: convert it",
	csvText:      "this is a table (CSV): a load reads FHIR in JSON: convert each row to a resource",
	utf16Text:    "this is UTF-16: a load reads UTF-8: convert it",
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// foreignFormat recognises inputs of other formats by their head. An input with mostly
// resources on its lines is NDJSON, whatever else is in it.
func foreignFormat(head []byte, whole bool) (f format, foreign bool) {
	if _, wide := byteOrder(head); wide {
		return utf16Text, true
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n")
	switch {
	case len(text) == 0 || text[0] == '{':
		return 0, false
	case arrayStart.Match(text):
		f = jsonArray
	case tagStart.Match(text):
		f = xmlText
	case isTable(text, whole):
		f = csvText
	default:
		return 0, false
	}
	return f, !mostlyResources(text, whole)
}

var (
	tagStart   = regexp.MustCompile(`^<[A-Za-z?!]`)
	arrayStart = regexp.MustCompile(`^\[\s*[\[{"\]]`)
)

// byteOrder reports whether a text is UTF-16, by its byte order mark or by its first
// character, and its byte order.
func byteOrder(head []byte) (unicode.Endianness, bool) {
	if len(head) < 2 {
		return unicode.LittleEndian, false
	}
	switch {
	case head[0] == 0xff && head[1] == 0xfe, head[1] == 0 && bytes.IndexByte([]byte("{[<"), head[0]) >= 0:
		return unicode.LittleEndian, true
	case head[0] == 0xfe && head[1] == 0xff, head[0] == 0 && bytes.IndexByte([]byte("{[<"), head[1]) >= 0:
		return unicode.BigEndian, true
	}
	return unicode.LittleEndian, false
}

// tableLines is the number of lines by which a table is recognised.
const tableLines = 20

// isTable reports whether a text is a table: its first line has a separator and no braces,
// and most lines have as many of them as the first.
func isTable(text []byte, whole bool) bool {
	var lines []string
	for len(text) > 0 && len(lines) < tableLines {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		if line = bytes.TrimSpace(line); len(line) > 0 && (ended || whole) {
			lines = append(lines, string(line))
		}
	}
	if len(lines) < 2 || strings.ContainsAny(lines[0], "{}") || strings.Contains(lines[0], `":`) {
		return false
	}
	for _, separator := range []byte(",;\t|") {
		alike, n := 0, separators(lines[0], separator)
		for _, line := range lines {
			if separators(line, separator) == n {
				alike++
			}
		}
		if n > 0 && 2*alike > len(lines) {
			return true
		}
	}
	return false
}

// separators counts the separators of a line outside quotation marks.
func separators(line string, separator byte) (n int) {
	quoted := false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == separator && !quoted:
			n++
		}
	}
	return n
}

// refuseFormat refuses an input of another format once. The resources in it are not read,
// but the directory may have older versions of them, so their names are searched for.
func (s *inputReader) refuseFormat(name string, f format, r io.Reader) error {
	refusal := refuse(OtherFormat, "%s", foreignReasons[f])
	if err := s.emit(piece{file: name, line: 1, refusal: refusal, candidate: &candidate{}}); err != nil {
		return err
	}
	found := func(c candidate) error {
		c.guessed = true // it counts only if the directory has it
		return s.emit(piece{file: name, line: 1, refusal: refusal, candidate: &c})
	}
	if f == utf16Text {
		r = fromUTF16(r)
	}
	text := bufio.NewReaderSize(r, 1<<16)
	if head, _ := text.Peek(1 << 10); tagStart.Match(bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n")) {
		return s.eachXMLCandidate(name, text, found)
	}
	head, err := io.ReadAll(io.LimitReader(text, fhir.MaxLine))
	switch {
	case err != nil:
		return &brokenInput{name, 1, head, err}
	case len(head) == fhir.MaxLine:
		return s.eachCandidate(name, 1, io.MultiReader(bytes.NewReader(head), text), found)
	}
	for _, c := range findCandidates(head) {
		if err := found(c); err != nil {
			return err
		}
	}
	return nil
}

// fromUTF16 converts a text to UTF-8.
func fromUTF16(r io.Reader) io.Reader {
	var head [2]byte
	n, _ := io.ReadFull(r, head[:])
	order, _ := byteOrder(head[:n])
	all := io.MultiReader(bytes.NewReader(head[:n]), r)
	return unicode.UTF16(order, unicode.UseBOM).NewDecoder().Reader(all)
}

// xmlOverlap is the length of the text that two consecutive chunks of an XML text share, so
// that a resource of this size is in one of them whole.
const xmlOverlap = 1 << 20

// eachXMLCandidate calls found for each resource in an XML text of any length.
func (s *inputReader) eachXMLCandidate(name string, r io.Reader, found func(candidate) error) error {
	var text []byte
	seen := map[candidate]bool{} // of the last chunk
	for continued := false; ; continued = true {
		chunk, err := io.ReadAll(io.LimitReader(r, fhir.MaxLine))
		text = append(text, chunk...)
		list := map[candidate]bool{}
		more := len(chunk) == fhir.MaxLine
		for _, c := range xmlCandidates(text, continued, more) {
			if list[c] = true; seen[c] {
				continue
			}
			if err := found(c); err != nil {
				return err
			}
		}
		if err != nil {
			return &brokenInput{name, 1, nil, err}
		}
		if !more {
			return nil
		}
		seen = list
		text = append(text[:0], text[len(text)-xmlOverlap:]...)
	}
}

var (
	xmlType  = regexp.MustCompile(`<(Organization|Location|Endpoint|HealthcareService|PractitionerRole|Practitioner|Provenance)[\s>]`)
	xmlID    = regexp.MustCompile(`<id\s+value\s*=\s*["']([A-Za-z0-9\-.]{1,64})["']`)
	xmlState = regexp.MustCompile(`<(?:active|status)\s+value\s*=\s*["']([^"']*)["']`)
	xmlEnd   = []byte("</resource>")
)

// maxXMLScan is the number of bytes that are scanned for the resources of one chunk. A real
// text needs little more than its own length.
const maxXMLScan = 32 * fhir.MaxLine

// xmlCandidates returns the resources in an XML text: the first id after the start tag of a
// type. What the text says until the end of its Bundle entry applies to the resource. If
// text outside such parts says that something is hidden, the text is damaged, and it is also
// read as any other text. A continued text starts with the end of a resource of the chunk
// before; a text with more ends with the start of one of the next chunk.
func xmlCandidates(text []byte, continued, more bool) (list []candidate) {
	var outside index.Visibility
	covered, scanned := 0, 0
	for n, start := range xmlType.FindAllSubmatchIndex(text, maxCandidates) {
		if n == 0 && continued {
			covered = start[0]
		}
		if start[0] > covered {
			outside |= flagsOf(text[covered:start[0]], xmlState)
		}
		part := text[start[0]:]
		if end := bytes.Index(part, xmlEnd); end >= 0 {
			part = part[:end]
		} else if more && len(part) < xmlOverlap {
			covered = len(text)
			break
		}
		covered = max(covered, start[0]+len(part))
		if scanned += len(part); scanned > maxXMLScan {
			break
		}
		if id := xmlID.FindSubmatch(part); id != nil {
			list = append(list, candidate{typeName: string(text[start[2]:start[3]]), id: string(id[1]), hiddenBy: flagsOf(part, xmlState), guessed: true})
		} else {
			outside |= flagsOf(part, xmlState)
		}
	}
	if outside|flagsOf(text[covered:], xmlState) != 0 || len(list) == 0 && !continued {
		list = append(list, findCandidates(text)...)
	}
	return list
}
