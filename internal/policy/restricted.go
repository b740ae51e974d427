package policy

import (
	"fmt"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

// WithoutContacts returns a registry that restricts searches by the contacts of a person,
// for operators who want that.
func WithoutContacts(reg *conformance.Registry) *conformance.Registry {
	return reg.Restrict(func(p conformance.Param) string {
		if p.Personal {
			return "search by name or identifier"
		}
		return ""
	})
}

// Restriction returns why a parameter of type t may not be named outside of a criterion,
// such as in _sort or _include: the order of a response would disclose what the response
// leaves out (SR-33). p is the definition of the name, the zero Param if there is none.
// The text is empty if the parameter is not restricted.
func Restriction(t fhir.Type, name string, p conformance.Param) string {
	if aboutPerson(t) {
		if f := heldParam(name); f != nil {
			return bound.Restricted(t, f.wayOut)
		}
	}
	if p.Restricted != "" {
		return bound.Restricted(t, p.Restricted)
	}
	return ""
}

// restriction returns why a criterion on type t is refused for privacy; the text is empty
// if it is not (SR-30..33). p is the definition of its name, the zero Param if there is
// none. The name decides, with any modifier. Of identifiers the value decides, for every
// type: no resource may hold such a number, so no query may name one.
func restriction(t fhir.Type, p conformance.Param, l query.Criterion) string {
	if problem := Restriction(t, l.Name, p); problem != "" {
		return problem
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

// heldValue returns the fact that an identifier value states: by its system, or by its type
// with :of-type (system|code|value). It returns nil if there is none.
func heldValue(modifier string, v query.Value) *fact {
	if len(v.Parts) < 2 {
		return nil
	}
	if modifier == "of-type" {
		return heldType([]byte(v.Parts[1]), nil)
	}
	return heldText([]byte(v.Parts[0]))
}
