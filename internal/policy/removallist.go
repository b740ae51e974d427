package policy

import (
	"slices"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// The systems of the identifiers by which clients recognise a resource.
const (
	HPIISystem  = "http://ns.electronichealth.net.au/id/hi/hpii/1.0"
	HPIOSystem  = "http://ns.electronichealth.net.au/id/hi/hpio/1.0"
	HSPOSystem  = "http://ns.electronichealth.net.au/id/hi/hspo/1.0"
	LocalSystem = "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier"
)

// Identifier is an identifier of a resource. Both fields are set.
type Identifier struct{ System, Value string }

// RemovalIdentifiers returns the identifiers by which the removal List names the suppressed
// resource v (RM-03): the healthcare identifiers of an Organization or a Practitioner, and the
// local identifiers of other types. A resource that has none of these is named by all
// identifiers that it has. A Provenance has no identifiers.
func RemovalIdentifiers(t fhir.Type, v *fastjson.Value) []Identifier {
	var all []Identifier
	for _, item := range v.GetArray("identifier") {
		i := Identifier{string(item.GetStringBytes("system")), string(item.GetStringBytes("value"))}
		if i.System != "" && i.Value != "" && !slices.Contains(all, i) {
			all = append(all, i)
		}
	}
	systems := []string{LocalSystem}
	switch t {
	case fhir.Organization:
		systems = []string{HPIOSystem, HSPOSystem}
	case fhir.Practitioner:
		systems = []string{HPIISystem}
	}
	var named []Identifier
	for _, i := range all {
		if slices.Contains(systems, i.System) {
			named = append(named, i)
		}
	}
	if len(named) == 0 {
		return all
	}
	return named
}
