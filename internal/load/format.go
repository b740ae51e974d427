package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"

	"muster/internal/fhir"
)

// format is the layout of an input.
type format int

const (
	ndjson   format = iota // a resource or Bundle on each line
	jsonText               // JSON values over several lines
	bundle                 // the same, but the first value is a Bundle, which is read entry by entry

	changeLines  // a list of changes (changelist.go)
	removalLines // a list of Type/id (removal.go). Both are refused as a whole if the load applies no changes
	jsonArray    // these and the following are refused as a whole (foreign.go)
	xmlText
	csvText
	utf16Text
)

var firstType = regexp.MustCompile(`"resourceType"\s*:\s*"([A-Za-z]*)"`)

// formatOf detects the format from the head of an input. whole means that the head is the
// whole input.
//
// If the first line is a complete value, the input is NDJSON. If the first line ends inside
// a value, the input is NDJSON with a broken line if the next line starts an object where a
// document cannot have one. Otherwise it is a document, unless it cannot be parsed as one
// and most of the lines after the first are resources. If the head does not contain the
// whole first line, the input is a document if it is a Bundle.
func formatOf(head []byte, whole bool) format {
	if f, foreign := foreignFormat(head, whole); foreign {
		return f
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	line, rest, ended := bytes.Cut(head, []byte("\n"))
	line = bytes.TrimRight(line, " \t\r")
	inside, objectMayFollow := openAt(line)
	switch {
	case !ended && !whole:
	case isChangeLine(line):
		return changeLines
	case isRemovalLine(line):
		return removalLines
	}
	if len(line) == 0 || (ended || whole) && !inside {
		return ndjson
	}
	if !ended {
		if !whole && isBundle(head) {
			return bundle
		}
		return ndjson
	}
	rest = bytes.TrimLeft(rest, " \t\r\n")
	if bytes.HasPrefix(rest, []byte("{")) && !objectMayFollow || line[0] != '{' {
		return ndjson
	}
	if !startsDocument(head, whole) && mostlyResources(rest, whole) {
		return ndjson
	}
	if isBundle(head) {
		return bundle
	}
	return jsonText
}

// isChangeLine reports whether a line is one of a list of changes.
func isChangeLine(line []byte) bool {
	var one struct {
		changeLine
		ResourceType *string
	}
	return json.Unmarshal(line, &one) == nil && one.Op != "" && one.Type != "" && one.ID != "" && one.ResourceType == nil
}

// isRemovalLine reports whether a line is one of a list of removals. One with an unknown type is.
func isRemovalLine(line []byte) bool {
	_, err := fhir.ParseReference(string(line))
	return err == nil
}

// startsDocument reports whether the head of an input is the start of a JSON value, or a
// complete value if the head is the whole input.
func startsDocument(head []byte, whole bool) bool {
	var first json.RawMessage
	err := json.NewDecoder(bytes.NewReader(head)).Decode(&first)
	return err == nil || !whole && errors.Is(err, io.ErrUnexpectedEOF)
}

// mostlyResources reports whether most lines are complete JSON objects with a resourceType.
// A last line that may be incomplete does not count.
func mostlyResources(text []byte, whole bool) bool {
	resources, others := 0, 0
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		if line = bytes.TrimSpace(line); len(line) == 0 || !ended && !whole {
			continue
		}
		var r struct {
			ResourceType string `json:"resourceType"`
		}
		if json.Unmarshal(line, &r) == nil && r.ResourceType != "" {
			resources++
		} else {
			others++
		}
	}
	return resources > others
}

// isBundle reports whether the first resourceType in the head of an input is Bundle.
func isBundle(head []byte) bool {
	m := firstType.FindSubmatch(head)
	return m != nil && string(m[1]) == "Bundle"
}

// openAt reports whether a text ends inside a JSON value, and whether an object may follow,
// as the value of a member or as an item.
func openAt(text []byte) (inside, object bool) {
	var brackets []byte
	quoted := false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			brackets = append(brackets, b)
		case (b == '}' || b == ']') && len(brackets) > 0:
			brackets = brackets[:len(brackets)-1]
		}
	}
	if quoted || len(brackets) == 0 {
		return quoted, false
	}
	switch text[len(text)-1] {
	case ':':
		return true, true
	case ',', '[':
		return true, brackets[len(brackets)-1] == '['
	}
	return true, false
}
