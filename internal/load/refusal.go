package load

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"muster/internal/strictjson"
)

// Kind classifies refusals and warnings. The summary counts by kind.
type Kind string

// The kinds of refusals, as the summary prints them.
const (
	BadJSON      Kind = "not valid JSON"
	DuplicateKey Kind = "duplicate key"
	TooLarge     Kind = "too large"
	OtherType    Kind = "not a resource type of the directory"
	MissingID    Kind = "no id"
	BadID        Kind = "id not valid"
	BadReference Kind = "reference not well-formed"
	EmptyElement Kind = "empty element"
	BadShape     Kind = "element of the wrong shape"
	BadState     Kind = "status not well-formed"
	BadEntry     Kind = "bundle entry that cannot be applied"
	BadInput     Kind = "input not readable"
)

// Refusal is the reason why a piece of input was not loaded. Its text says what is wrong and
// what to do. It never repeats a value, since values may be private.
type Refusal struct {
	Kind Kind
	Path string // FHIRPath of the element at fault: "identifier[2].system", or empty
	Text string
}

// Error returns the path and the text.
func (r *Refusal) Error() string {
	if r.Path == "" {
		return r.Text
	}
	return r.Path + ": " + r.Text
}

// refuse returns a refusal without a path.
func refuse(kind Kind, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// refuseJSON returns the refusal for an error of [strictjson.Validator.Validate].
func refuseJSON(err error) *Refusal {
	kind, path := BadJSON, ""
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		switch e.Kind {
		case strictjson.DuplicateKey:
			kind = DuplicateKey
		case strictjson.TooDeep:
			kind = TooLarge
		case strictjson.TooLong:
			kind, path = TooLarge, pathOf(e.Path)
		}
	}
	return &Refusal{Kind: kind, Path: path, Text: err.Error()}
}

// pathOf returns the FHIRPath of an element.
func pathOf(path []strictjson.Step) string {
	var b strings.Builder
	for _, s := range path {
		switch {
		case s.Name == nil:
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		case b.Len() > 0:
			b.WriteString("." + memberName(s.Name))
		default:
			b.WriteString(memberName(s.Name))
		}
	}
	return b.String()
}

// within prefixes the path of a refusal with a member or an item.
func (r *Refusal) within(path string) *Refusal {
	switch {
	case r.Path == "":
		r.Path = path
	case r.Path[0] == '[':
		r.Path = path + r.Path
	default:
		r.Path = path + "." + r.Path
	}
	return r
}
