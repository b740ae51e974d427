package conformance

import (
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
)

// TestIncludes holds the published lists to those of the guide and to what its
// examples use beside (TR-02, TR-04).
func TestIncludes(t *testing.T) {
	reg := load(t)
	for rt, wanted := range map[fhir.Type][2]string{
		fhir.Location:          {"Location:organization Location:endpoint Location:partof", "HealthcareService:location Provenance:target PractitionerRole:location HealthcareService:coverage-area"},
		fhir.HealthcareService: {"HealthcareService:location HealthcareService:organization HealthcareService:endpoint", "PractitionerRole:service Provenance:target"},
		fhir.PractitionerRole:  {"PractitionerRole:practitioner PractitionerRole:service PractitionerRole:organization PractitionerRole:location PractitionerRole:endpoint", "Provenance:target"},
		fhir.Practitioner:      {"", "PractitionerRole:practitioner Provenance:target Provenance:agent"},
		fhir.Organization:      {"Organization:partof Organization:endpoint", "Location:organization Provenance:target HealthcareService:organization PractitionerRole:organization Endpoint:organization Organization:partof"},
		fhir.Endpoint:          {"Endpoint:organization", "HealthcareService:endpoint Location:endpoint PractitionerRole:endpoint Provenance:target"},
		fhir.Provenance:        {"Provenance:target Provenance:agent Provenance:entity", "Provenance:entity"},
	} {
		for n, list := range [][]Include{reg.Includes(rt), reg.RevIncludes(rt)} {
			var got []string
			for _, i := range list {
				got = append(got, i.String())
				again, err := reg.ParseInclude(i.String())
				if err != nil || again.String() != i.String() || again.Param.ID != i.Param.ID {
					t.Errorf("%s is listed but read as %s, %v", i, again, err)
				}
			}
			for _, want := range strings.Fields(wanted[n]) {
				if !slices.Contains(got, want) {
					t.Errorf("%s (reverse: %v): %s is not among %v", rt, n == 1, want, got)
				}
			}
		}
	}
}

func TestParseInclude(t *testing.T) {
	reg := load(t)
	for value, want := range map[string]string{
		"PractitionerRole:practitioner": "PractitionerRole:practitioner",
		"Provenance:target:Location":    "Provenance:target:Location",
		"Organization:partOf":           "Organization:partof",
		"Location:partOf:Location":      "Location:partof:Location",
		"Provenance:agent.who":          "Provenance:agent",
		"*":                             "is not an include",
		"PractitionerRole":              "is not an include",
		"a:b:c:d":                       "is not an include",
		"Patient:organization":          "not a type of this directory",
		"PractitionerRole:identifier":   "does not name a reference of PractitionerRole: use one of PractitionerRole:",
		"PractitionerRole:gender":       "does not name a reference",
		"Provenance:target:Patient":     "never points",
		"Provenance:target:Provenance":  "never points",
		"Location:organization:":        "never points",
		":organization":                 "not a type of this directory",
	} {
		i, err := reg.ParseInclude(value)
		got := i.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want { // an error holds the words, a value is the same
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	i, err := reg.ParseInclude("Provenance:target:Location")
	if err != nil || !i.Reaches(fhir.Location) || i.Reaches(fhir.Organization) {
		t.Errorf("%v reaches more or less than Location (%v)", i, err)
	}
}

// TestModifiers holds what each kind of parameter takes (SR-40, SR-46).
func TestModifiers(t *testing.T) {
	reg := load(t)
	for _, c := range []struct {
		base fhir.Type
		code string
		want string
	}{
		{fhir.Organization, "_id", ""},
		{fhir.Organization, "name", "contains exact missing"},
		{fhir.Organization, "identifier", "missing not"},
		{fhir.Location, "organization", "Organization identifier missing"},
		{fhir.Practitioner, "gender", ""},
		{fhir.Practitioner, "identifier-r5", "contains exact missing not"},
		{fhir.Practitioner, "regprof", "contains exact missing"},
		{fhir.Location, "locmailaddress", "contains missing"},
		{fhir.Location, "near", "missing"},
		{fhir.PractitionerRole, "starttime", "missing"},
		{fhir.Provenance, "agent", "Organization Practitioner PractitionerRole identifier missing"},
	} {
		p, _ := reg.Param(c.base, c.code)
		if got := strings.Join(p.Modifiers, " "); got != c.want {
			t.Errorf("%s?%s takes %q, want %q", c.base, c.code, got, c.want)
		}
		if p.Takes("above") || c.want != "" && !p.Takes("missing") {
			t.Errorf("%s?%s: Takes disagrees with %v", c.base, c.code, p.Modifiers)
		}
	}
	if p, _ := reg.Param(fhir.Provenance, "target"); !p.Takes("Practitioner") || p.Takes("Patient") {
		t.Errorf("Provenance?target takes %v", p.Modifiers)
	}
}
