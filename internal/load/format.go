package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
)

// format is how an input is laid out.
type format int

const (
	ndjson   format = iota // a resource or Bundle on each line
	jsonText               // JSON values over several lines
	bundle                 // the same, and the first is a Bundle: read entry by entry
)

var firstType = regexp.MustCompile(`"resourceType"\s*:\s*"([A-Za-z]*)"`)

// formatOf tells the format from the start of an input; whole says that it is all
// of it.
//
// One value that ends with its line means NDJSON. Where the first line breaks off
// inside a value, it is NDJSON with a broken line if the next line starts an
// object where a document could not have one. Otherwise it is a document, unless
// it cannot be read as one and most of the lines behind the first are resources by
// themselves. A first line too long to be seen whole is a document if it is a
// Bundle.
func formatOf(head []byte, whole bool) format {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	line, rest, ended := bytes.Cut(head, []byte("\n"))
	line = bytes.TrimRight(line, " \t\r")
	inside, goesOn := openAt(line)
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
	if bytes.HasPrefix(rest, []byte("{")) && !goesOn || line[0] != '{' {
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

// startsDocument reports whether the start of an input can be that of a JSON value,
// which is whole if the input is.
func startsDocument(head []byte, whole bool) bool {
	var first json.RawMessage
	err := json.NewDecoder(bytes.NewReader(head)).Decode(&first)
	return err == nil || !whole && errors.Is(err, io.ErrUnexpectedEOF)
}

// mostlyResources reports whether most lines are whole JSON objects with a
// resourceType. A last line that may go on beyond the text does not count.
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

func isBundle(head []byte) bool {
	m := firstType.FindSubmatch(head)
	return m != nil && string(m[1]) == "Bundle"
}

// openAt reports whether a text ends inside a JSON value, and whether an object
// may follow there: as a member's value or as an item.
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
