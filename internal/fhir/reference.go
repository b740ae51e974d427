package fhir

import (
	"fmt"
	"regexp"
	"strings"
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
	rest := s
	for _, base := range bases {
		if below, ok := strings.CutPrefix(s, base+"/"); ok && base != "" {
			rest = below
		}
	}
	parts := strings.Split(rest, "/")
	if len(parts) == 4 && parts[2] == "_history" {
		parts = parts[:2]
	}
	if len(parts) != 2 || !typeForm.MatchString(parts[0]) || !ValidID(parts[1]) {
		return Reference{}, fmt.Errorf("%q is not a reference into this directory: write Type/id", s)
	}
	return Reference{Type: parts[0], ID: parts[1]}, nil
}
