package fhir

import "strings"

// Type is one of the seven resource types of the directory (KO-24). Its number is part of
// every stored row key and never changes. The order is the loading order: a type refers
// mostly to types before it.
type Type uint8

// The seven types of a provider directory.
const (
	Organization Type = 1 + iota
	Location
	Endpoint
	HealthcareService
	Practitioner
	PractitionerRole
	Provenance
)

var typeNames = [...]string{
	Organization:      "Organization",
	Location:          "Location",
	Endpoint:          "Endpoint",
	HealthcareService: "HealthcareService",
	Practitioner:      "Practitioner",
	PractitionerRole:  "PractitionerRole",
	Provenance:        "Provenance",
}

// Types returns the seven types in loading order.
func Types() []Type {
	return []Type{Organization, Location, Endpoint, HealthcareService, Practitioner, PractitionerRole, Provenance}
}

// Names returns the names of types, separated by commas, for messages.
func Names(types []Type) string {
	list := make([]string, len(types))
	for i, t := range types {
		list[i] = t.String()
	}
	return strings.Join(list, ", ")
}

// ParseType returns the type with the given name. Names are case-sensitive (KO-25).
func ParseType(name string) (Type, bool) {
	for t, n := range typeNames {
		if t > 0 && n == name {
			return Type(t), true
		}
	}
	return 0, false
}

// String returns the FHIR name of the type.
func (t Type) String() string {
	if t == 0 || int(t) >= len(typeNames) {
		return "unknown type"
	}
	return typeNames[t]
}
