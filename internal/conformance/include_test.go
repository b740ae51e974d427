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
		fhir.Location:         {"Location:organization", ""},
		fhir.PractitionerRole: {"PractitionerRole:practitioner PractitionerRole:organization PractitionerRole:location", "Provenance:target"},
		fhir.Practitioner:     {"", "PractitionerRole:practitioner Provenance:target"},
		fhir.Organization:     {"", "Location:organization Provenance:target HealthcareService:organization PractitionerRole:organization"},
		fhir.Provenance:       {"Provenance:target", ""},
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
	if list := reg.RevIncludes(fhir.Provenance); list != nil {
		t.Errorf("something includes Provenance: %v", list)
	}
}

func TestParseInclude(t *testing.T) {
	reg := load(t)
	for value, want := range map[string]string{
		"PractitionerRole:practitioner": "PractitionerRole:practitioner",
		"Provenance:target:Location":    "Provenance:target:Location",
		"*":                             "is no include",
		"PractitionerRole":              "is no include",
		"a:b:c:d":                       "is no include",
		"Patient:organization":          "no type of this directory",
		"PractitionerRole:identifier":   "names no reference of PractitionerRole: use one of PractitionerRole:",
		"PractitionerRole:gender":       "names no reference",
		"Provenance:target:Patient":     "never points",
		"Provenance:target:Provenance":  "never points",
		"Location:organization:":        "never points",
		":organization":                 "no type of this directory",
	} {
		i, err := reg.ParseInclude(value)
		got := i.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
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
