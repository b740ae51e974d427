package policy

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// prescriberSystem is the identifier system of PBS prescriber numbers, which the
// directory neither holds nor searches by (SR-30, ST-01).
const prescriberSystem = "http://ns.electronichealth.net.au/id/medicare-prescriber-number"

// prescriberType is the code of v2-0203 for the type of such an identifier.
const prescriberType = "PRES"

// restriction says why a parameter is refused for privacy, empty if it is not
// (SR-30..33). The name decides, whatever the modifier; of identifiers the value.
func restriction(reg *conformance.Registry, t fhir.Type, l query.Leaf) string {
	p, known := reg.Param(t, l.Name)
	if known && p.Restricted != "" {
		return refusal(t, p.Restricted)
	}
	if t == fhir.Practitioner && strings.HasPrefix(l.Name, "address-") {
		return refusal(t, "search PractitionerRole by the address of its location")
	}
	ofPractitioner := t == fhir.Practitioner && (l.Name == "identifier" || l.Name == "identifier-r5")
	ofReference := l.Modifier == "identifier" && slices.Contains(p.Target, fhir.Practitioner.String())
	if (ofPractitioner || ofReference) && slices.ContainsFunc(l.Values, func(v query.Value) bool { return namesPrescriber(l.Modifier, v) }) {
		return "searches by a Medicare prescriber number, which is refused for privacy: search by HPI-I"
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
		return isPrescriber("", v.Parts[1])
	}
	return isPrescriber(v.Parts[0], "")
}

// isPrescriber reports whether an identifier of a system, or one whose type has a
// code, is a prescriber number. It is wide, so that no way of writing one passes:
// case, slashes at the end and the system of the type make no difference. The
// question and the resource side share it.
func isPrescriber(system, typeCode string) bool {
	return strings.EqualFold(strings.TrimRight(system, "/"), prescriberSystem) || strings.EqualFold(typeCode, prescriberType)
}
