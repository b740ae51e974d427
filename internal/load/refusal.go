package load

import (
	"errors"
	"fmt"

	"muster/internal/strictjson"
)

// Kind is the class of a refusal; the summary counts by it.
type Kind string

// The kinds, in the words of the summary.
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
	BadState     Kind = "state not well-formed"
	BadEntry     Kind = "bundle entry that is not a put"
	BadInput     Kind = "input not readable"
)

// Refusal says why a piece of input was not loaded. Its text names the place and
// the way out and never repeats a value: values may be private.
type Refusal struct {
	Kind Kind
	Path string // FHIRPath of the element at fault: "identifier[2].system", or empty
	Text string
}

// Error returns the place and the text.
func (r *Refusal) Error() string {
	if r.Path == "" {
		return r.Text
	}
	return r.Path + ": " + r.Text
}

func refuse(kind Kind, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// refuseJSON returns the refusal for an error of [strictjson.Validator.Validate].
func refuseJSON(err error) *Refusal {
	kind := BadJSON
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		switch e.Kind {
		case strictjson.DuplicateKey:
			kind = DuplicateKey
		case strictjson.TooDeep:
			kind = TooLarge
		}
	}
	return refuse(kind, "%v", err)
}

// within puts the place of a refusal below a member or an item.
func (r *Refusal) within(place string) *Refusal {
	switch {
	case r.Path == "":
		r.Path = place
	case r.Path[0] == '[':
		r.Path = place + r.Path
	default:
		r.Path = place + "." + r.Path
	}
	return r
}
