package policy

import (
	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// Extensions that carry the state of a resource, and the words inside them.
const (
	// SuppressedURL is the suppression extension of 26.0.0 (SU-01).
	SuppressedURL = index.SuppressedURL
	// SuppressedOldURL is the boolean extension of 0.3.0 that it replaced.
	SuppressedOldURL = index.SuppressedOldURL
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
// (VI-15), and its suppression ([index.IsSuppressed]). v is the resource; only
// its strings are decoded in place. A Provenance is never inactive (VI-14), but may
// be suppressed.
func OwnState(t fhir.Type, v *fastjson.Value) index.Visibility {
	var state index.Visibility
	if !active(t, v) {
		state |= index.Inactive
	}
	if index.IsSuppressed(t, v) {
		state |= index.Suppressed
	}
	return state
}

// Readable reports whether a resource in this state may be read by its id, and come
// with others through _include and _revinclude (VI-02, VI-08). The state
// of a Provenance does not decide alone: see [ForSearch].
func Readable(state index.Visibility) bool { return state&(index.Inactive|index.Suppressed) == 0 }

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
