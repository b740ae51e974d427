package load

import (
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"

	"github.com/google/uuid"
	"github.com/valyala/fastjson"
)

const (
	localSystem    = policy.LocalSystem
	identifierType = "http://terminology.hl7.org/CodeSystem/v2-0203"

	coverageArea = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-service-coverage-area"
)

// LocalIdentifier returns the HCPD local identifier for a resource whose source has none. It
// depends only on Type/id, so every load yields the same one (D13).
func LocalIdentifier(t fhir.Type, id string) string {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte(localSystem))
	return uuid.NewSHA1(space, []byte(t.String()+"/"+id)).String()
}

// addLocalIdentifier appends the derived local identifier to resources of types that must
// have one.
func addLocalIdentifier(a *fastjson.Arena, t fhir.Type, id string, v *fastjson.Value) {
	switch t {
	case fhir.PractitionerRole, fhir.HealthcareService, fhir.Endpoint:
	case fhir.Location:
		if isCoverageArea(v) {
			return
		}
	default:
		return
	}
	identifiers := v.Get("identifier")
	for _, identifier := range identifiers.GetArray() {
		if isText(identifier.Get("system"), localSystem) {
			return
		}
	}
	coding := a.NewObject()
	coding.Set("system", a.NewString(identifierType))
	coding.Set("code", a.NewString("XX"))
	concept := a.NewObject()
	concept.Set("coding", list(a, coding))
	local := a.NewObject()
	local.Set("type", concept)
	local.Set("system", a.NewString(localSystem))
	local.Set("value", a.NewString(LocalIdentifier(t, id)))
	if identifiers == nil {
		v.Set("identifier", list(a, local))
		return
	}
	identifiers.SetArrayItem(len(identifiers.GetArray()), local)
}

// isCoverageArea reports whether a Location claims to be a service coverage area.
func isCoverageArea(v *fastjson.Value) bool {
	for _, profile := range v.GetArray("meta", "profile") {
		if index.Profile(string(profile.GetStringBytes())) == coverageArea {
			return true
		}
	}
	return false
}

func list(a *fastjson.Arena, item *fastjson.Value) *fastjson.Value {
	v := a.NewArray()
	v.SetArrayItem(0, item)
	return v
}
