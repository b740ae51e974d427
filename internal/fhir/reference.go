package fhir

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/valyala/fastjson"
)

var idForm = regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`)

// ValidID reports whether s is a valid id of a resource (RD-02).
func ValidID(s string) bool { return idForm.MatchString(s) }

// Reference is a reference to a resource: Type/id. Type is empty if only the id is known.
type Reference struct {
	Type string // any FHIR type name, also outside the seven types of the directory
	ID   string
}

// String returns Type/id, or the id alone.
func (r Reference) String() string {
	if r.Type == "" {
		return r.ID
	}
	return r.Type + "/" + r.ID
}

var typeForm = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)

// ParseReference parses a literal reference: Type/id, Type/id/_history/n, or an absolute
// URL below one of the bases, which have no trailing slash. Other URLs, urn: and fragment
// references point outside the directory and are an error. An empty base is ignored.
func ParseReference(s string, bases ...string) (Reference, error) {
	parts := strings.Split(BelowBase(s, bases...), "/")
	if len(parts) == 4 && parts[2] == "_history" {
		parts = parts[:2]
	}
	if len(parts) != 2 || !typeForm.MatchString(parts[0]) || !ValidID(parts[1]) {
		return Reference{}, fmt.Errorf("%q is not a reference into this directory: write Type/id", s)
	}
	return Reference{Type: parts[0], ID: parts[1]}, nil
}

// SplitReference splits an http or https URL of the form [server]/Type/id, with or without
// /_history/version, into the base URL of the server, without a trailing slash, and the
// relative reference. It reports false for other texts.
func SplitReference(s string) (server, relative string, ok bool) {
	_, path, absolute := strings.Cut(s, "://")
	if !absolute || !IsHTTP(s) {
		return "", "", false
	}
	rest := path
	if resource, version, versioned := cutLast(path, "/_history/"); versioned && ValidID(version) {
		rest = resource
	}
	rest, id, ok := cutLast(rest, "/")
	if !ok {
		return "", "", false
	}
	host, typeName, ok := cutLast(rest, "/")
	if !ok || host == "" || !typeForm.MatchString(typeName) || !ValidID(id) {
		return "", "", false
	}
	server = s[:len(s)-len(path)+len(host)]
	return server, s[len(server)+1:], true
}

// cutLast slices s around the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// IsHTTP reports whether a reference is an absolute http or https URL.
func IsHTTP(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// IsURN reports whether a reference is a urn:, such as urn:uuid:…. It names an entry of the
// Bundle around it, and nothing anywhere else.
func IsURN(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "urn:") }

// ContainedIDs are the ids of the resources that a resource contains. They are read at the first
// use.
type ContainedIDs struct {
	In  *fastjson.Value // the resource
	ids map[string]bool
}

// Lack reports whether a reference is #id of a contained resource that is not there. The
// reference # of a contained resource is to the resource around it.
func (c *ContainedIDs) Lack(reference string) bool {
	id, local := strings.CutPrefix(reference, "#")
	if !local || id == "" {
		return false
	}
	if c.ids == nil {
		c.ids = map[string]bool{}
		for _, contained := range c.In.GetArray("contained") {
			c.ids[string(contained.GetStringBytes("id"))] = true
		}
	}
	return !c.ids[id]
}

// IsConditional reports whether a reference is a search for its target: Type?name=value.
func IsConditional(s string) bool {
	typeName, _, found := strings.Cut(s, "?")
	return found && typeForm.MatchString(typeName)
}

// EachReference calls visit for each Reference with a text in a resource, at any depth, also
// in contained resources. member is the name of the member of the resource that has it,
// element the Reference, and text its member reference. visit may set that member.
func EachReference(v *fastjson.Value, visit func(member []byte, element *fastjson.Value, text []byte)) {
	if v.Type() != fastjson.TypeObject {
		return
	}
	v.GetObject().Visit(func(name []byte, member *fastjson.Value) {
		if member.Type() == fastjson.TypeObject || member.Type() == fastjson.TypeArray {
			eachReference(name, member, visit)
		}
	})
}

func eachReference(member []byte, v *fastjson.Value, visit func([]byte, *fastjson.Value, []byte)) {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, item := range v.GetArray() {
			eachReference(member, item, visit)
		}
	case fastjson.TypeObject:
		var text []byte
		v.GetObject().Visit(func(name []byte, inner *fastjson.Value) {
			if string(name) == "reference" && inner.Type() == fastjson.TypeString {
				text = inner.GetStringBytes()
				return
			}
			eachReference(member, inner, visit)
		})
		if len(text) > 0 {
			visit(member, v, text)
		}
	}
}
