package policy

import (
	"fmt"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// restriction says why a parameter is refused for privacy, empty if it is not
// (SR-30..33). The name decides, whatever the modifier; of identifiers the value, in
// every type: a number that no resource may hold is no question either.
func restriction(reg *conformance.Registry, t fhir.Type, l query.Criterion) string {
	if aboutPerson(t) {
		if f := heldParam(l.Name); f != nil {
			return fmt.Sprintf("is refused on %s for privacy: %s", t, f.wayOut)
		}
	}
	p, known := reg.Param(t, l.Name)
	if known && p.Restricted != "" {
		return fmt.Sprintf("is refused on %s for privacy: %s", t, p.Restricted)
	}
	if p.Type != conformance.Token && l.Modifier != "identifier" {
		return ""
	}
	for _, v := range l.Values {
		if f := heldValue(l.Modifier, v); f != nil {
			return fmt.Sprintf("searches by a %s, which is refused for privacy: %s", f.name, f.wayOut)
		}
	}
	return ""
}

// heldValue returns the fact that an identifier value asks for: by the system, or by
// the type with :of-type (system|code|value). It is nil if there is none.
func heldValue(modifier string, v query.Value) *fact {
	if len(v.Parts) < 2 {
		return nil
	}
	if modifier == "of-type" {
		return heldType([]byte(v.Parts[1]), nil)
	}
	return heldText([]byte(v.Parts[0]))
}
