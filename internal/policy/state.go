package policy

import (
	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// Extensions that carry the state of a resource, and the words inside them.
const (
	// SuppressedURL is the suppression extension of 26.0.0 (SU-01).
	SuppressedURL = "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"
	// SuppressedOldURL is the boolean extension of 0.3.0 that it replaced.
	SuppressedOldURL = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed"
	// DeactivatedURL and DeactivatedAliasURL are the internal extension that must
	// never leave the directory (SU-12).
	DeactivatedURL      = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated"
	DeactivatedAliasURL = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated-by"

	// ResponsibleParty is the code system of the two initiators below.
	ResponsibleParty      = "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"
	OrganisationInitiated = "organisation-initiated"
	PractitionerInitiated = "practitioner-initiated"
)

// OwnState tells what the resource says about itself, before any cascade: its
// active or status element (VI-03), where an absent one counts as active
// (VI-15), and its suppression (SU-01, SU-03, SU-10). v is the resource; only
// its strings are decoded in place. A Provenance has no state (VI-14).
//
// An Organization is suppressed itself unless includeSelf is explicitly false:
// what is not said must not make it visible.
func OwnState(t fhir.Type, v *fastjson.Value) index.Visibility {
	var state index.Visibility
	if !active(t, v) {
		state |= index.Inactive
	}
	for _, extension := range v.GetArray("extension") {
		if suppresses(t, extension) {
			state |= index.Suppressed
		}
	}
	return state
}

// active reads the state element of the type.
func active(t fhir.Type, v *fastjson.Value) bool {
	switch t {
	case fhir.Organization, fhir.Practitioner, fhir.PractitionerRole, fhir.HealthcareService:
		said := v.Get("active")
		return said == nil || said.Type() == fastjson.TypeTrue
	case fhir.Location, fhir.Endpoint:
		return v.Get("status") == nil || string(v.GetStringBytes("status")) == "active"
	}
	return true
}

// suppresses reports whether a root extension of a resource of type t hides it.
func suppresses(t fhir.Type, extension *fastjson.Value) bool {
	if t == fhir.Provenance {
		return false
	}
	switch string(extension.GetStringBytes("url")) {
	case SuppressedOldURL:
		said := extension.Get("valueBoolean")
		return said == nil || said.Type() != fastjson.TypeFalse
	case SuppressedURL:
		return t != fhir.Organization || !index.ExemptsSelf(extension)
	}
	return false
}
