package bound

import (
	"fmt"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// The functions below describe problems, each with what to write instead. The place in
// the client's text comes before the sentence.

// unknown describes a name that none of the types has.
func (b *binder) unknown(types []fhir.Type) string {
	if len(types) != 1 {
		return fmt.Sprintf("is not a search parameter of any of %s in this directory: name the type behind the reference, such as target:Practitioner", fhir.Names(types))
	}
	var codes []string
	for _, p := range b.reg.Params(types[0]) {
		if p.Restricted == "" {
			codes = append(codes, p.Code)
		}
	}
	return fmt.Sprintf("is not a search parameter of %s in this directory: use one of %s", types[0], strings.Join(codes, ", "))
}

// Restricted describes a parameter of type t that is restricted for privacy (SR-30).
func Restricted(t fhir.Type, instead string) string {
	return fmt.Sprintf("is refused on %s for privacy: %s", t, instead)
}

// wrongModifier describes a modifier that the parameter does not take (SR-23).
func wrongModifier(c query.Criterion, p conformance.Param) string {
	instead := "write " + c.Name + "=… without it"
	if len(p.Modifiers) > 0 {
		instead = "use :" + strings.Join(p.Modifiers, ", :") + " or none"
	}
	return fmt.Sprintf("has the modifier %q, which %s does not take: %s", c.Modifier, c.Name, instead)
}

// notAReference describes a step of a chain that leads nowhere.
func (b *binder) notAReference(types []fhir.Type) string {
	return fmt.Sprintf("is not a reference from %s that a chain can follow: %s", fhir.Names(types), b.references(types))
}

// notAType describes a reverse chain from a type that the directory does not have.
func notAType(name string) string {
	return fmt.Sprintf("asks for %s, which is not a type of this directory: use one of %s", name, fhir.Names(fhir.Types()))
}

// noReference describes a reverse chain whose reference does not lead to any of the types.
func (b *binder) noReference(from fhir.Type, types []fhir.Type) string {
	return fmt.Sprintf("does not name a reference from %s to %s: %s", from, fhir.Names(types), b.references([]fhir.Type{from}))
}

// notTestable describes a type test on a parameter that is not a reference.
func notTestable(ref string, types []fhir.Type) string {
	return fmt.Sprintf("tests %s, which is not a reference of %s in this directory: leave it out", ref, fhir.Names(types))
}

// references lists the references of the types.
func (b *binder) references(types []fhir.Type) string {
	var all []string
	for _, t := range types {
		for _, p := range b.reg.Params(t) {
			if p.Type == conformance.Reference {
				all = append(all, fmt.Sprintf("%s (to %s)", p.Code, strings.Join(p.Target, ", ")))
			}
		}
	}
	if len(all) == 0 {
		return "it has none in this directory"
	}
	return "use one of " + strings.Join(all, ", ")
}
