package policy

import (
	"fmt"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// prescriberSystem is the identifier system of PBS prescriber numbers, which the
// directory neither holds nor searches by (SR-30, ST-01).
const prescriberSystem = "http://ns.electronichealth.net.au/id/medicare-prescriber-number"

// restriction says why a parameter is refused for privacy, empty if it is not
// (SR-30..33). The name decides, whatever the modifier; of identifiers the value.
func restriction(reg *conformance.Registry, t fhir.Type, l query.Leaf) string {
	if p, ok := reg.Param(t, l.Name); ok && p.Restricted != "" {
		return refusal(t, p.Restricted)
	}
	if t != fhir.Practitioner {
		return ""
	}
	if strings.HasPrefix(l.Name, "address-") {
		return refusal(t, "search PractitionerRole by the address of its location")
	}
	if l.Name == "identifier" || l.Name == "identifier-r5" {
		for _, v := range l.Values {
			if namesPrescriber(l.Modifier, v) {
				return "searches by a Medicare prescriber number, which is refused for privacy: search by HPI-I"
			}
		}
	}
	return ""
}

func refusal(t fhir.Type, wayOut string) string {
	return fmt.Sprintf("is refused on %s for privacy: %s", t, wayOut)
}

// namesPrescriber reports whether an identifier value asks for prescriber
// numbers: by their system, or by their type with :of-type (system|code|value).
func namesPrescriber(modifier string, v query.Value) bool {
	if len(v.Parts) < 2 {
		return false
	}
	if modifier == "of-type" {
		return strings.EqualFold(v.Parts[1], "PRES")
	}
	return strings.EqualFold(v.Parts[0], prescriberSystem)
}
