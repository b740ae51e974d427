package policy

import (
	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// The extensions that hold the state of a resource, and their codes.
const (
	// SuppressedURL is the suppression extension of 26.0.0 (SU-01).
	SuppressedURL = index.SuppressedURL
	// SuppressedOldURL is the boolean extension of 0.3.0 that it replaced.
	SuppressedOldURL = index.SuppressedOldURL
	// DeactivatedURL and DeactivatedAliasURL are the URLs of the internal extension that
	// must never leave the directory (SU-12).
	DeactivatedURL      = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated"
	DeactivatedAliasURL = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated-by"

	// ResponsibleParty is the code system of the two initiators below.
	ResponsibleParty      = "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"
	OrganisationInitiated = "organisation-initiated"
	PractitionerInitiated = "practitioner-initiated"
)

// OwnState returns the state that the resource v has by its own content: its active or
// status (VI-03), where an absent one counts as active (VI-15), and its suppression
// ([index.Suppression]). A Provenance is never inactive (VI-14), but may be suppressed.
// OwnState decodes strings of v in place and changes nothing else.
func OwnState(t fhir.Type, v *fastjson.Value) index.Visibility {
	var state index.Visibility
	if !active(t, v) {
		state |= index.Inactive
	}
	return state | index.Suppression(t, v)
}

// Readable reports whether a resource in this state may be read by its id, and come
// with others through _include and _revinclude (VI-02, VI-08). It may not while a cascade
// that reaches it is not finished. The state of a Provenance does not decide alone: see
// [ForSearch].
func Readable(state index.Visibility) bool { return state&(index.Hidden|index.Pending) == 0 }

// active reports whether the active or status of the resource says that it is active.
func active(t fhir.Type, v *fastjson.Value) bool {
	switch t {
	case fhir.Organization, fhir.Practitioner, fhir.PractitionerRole, fhir.HealthcareService:
		element := v.Get("active")
		return element == nil || element.Type() == fastjson.TypeTrue
	case fhir.Location, fhir.Endpoint:
		return v.Get("status") == nil || string(v.GetStringBytes("status")) == "active"
	}
	return true
}
