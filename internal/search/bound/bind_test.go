package bound_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

func registry(t testing.TB) *conformance.Registry {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func bind(t testing.TB, reg bound.Registry, text string) bound.Query {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return bound.Bind(reg, q)
}

// tree prints a node with the types that its definitions have, and after an arrow those
// that its references lead to.
func tree(n bound.Node) string {
	switch n := n.(type) {
	case bound.Criterion:
		var types []fhir.Type
		for _, p := range n.Params {
			types = append(types, p.Base)
		}
		return fmt.Sprintf("%s[%s]", n.Name, fhir.Names(types))
	case bound.Chain:
		var steps []string
		for _, s := range n.Steps {
			steps = append(steps, fmt.Sprintf("%s→%s", s.Param.Base, fhir.Names(s.Targets)))
		}
		return fmt.Sprintf("%s[%s].%s", n.Ref, strings.Join(steps, "; "), tree(n.Next))
	case bound.Has:
		return fmt.Sprintf("has %s[%s]:%s", n.Param.Code, n.From, tree(n.Next))
	case bound.TypeTest:
		return fmt.Sprintf("%s is %s", n.Param.Code, n.Type)
	}
	return "?"
}

// TestBind holds the definitions and types of each node.
func TestBind(t *testing.T) {
	reg := registry(t)
	for text, want := range map[string]string{
		"Organization?name=a":                                      "name[Organization]",
		"HealthcareService?type=a":                                 "type[HealthcareService]",
		"PractitionerRole?location.address-city=a":                 "location[PractitionerRole→Location].address-city[Location]",
		"Provenance?target.address-city=a":                         "target[Provenance→Organization, Location].address-city[Organization, Location, Practitioner]",
		"Provenance?target:Location.address-city=a":                "target[Provenance→Location].address-city[Location]",
		"Provenance?target.organization.partof.name=a":             "target[Provenance→Location, Endpoint, HealthcareService, PractitionerRole].organization[Location→Organization; Endpoint→Organization; HealthcareService→Organization; PractitionerRole→Organization].partof[Organization→Organization].name[Organization]",
		"Organization?_has:PractitionerRole:organization:_id=a":    "has organization[PractitionerRole]:_id[PractitionerRole]",
		"Provenance?target._has:HealthcareService:location:name=a": "target[Provenance→Location].has location[HealthcareService]:name[HealthcareService]",
		"Provenance?target.resolve().as(Location)":                 "target is Location",
	} {
		term := bind(t, reg, text).Terms[0]
		if got := tree(term.Node); got != want {
			t.Errorf("%s is bound as\n%s, want\n%s", text, got, want)
		}
		if !strings.Contains(text, "address-city") && term.Problem != nil {
			t.Errorf("%s has a problem: %v", text, term.Problem)
		}
	}
}

// TestDottedAliases: a name with a dot is one name where the definitions say so, at any
// step, and a chain everywhere else.
func TestDottedAliases(t *testing.T) {
	reg := registry(t)
	for text, want := range map[string]string{
		"Provenance?agent.who=Organization/12345":             "Provenance?agent=Organization/12345",
		"Provenance?agent.who:missing=true":                   "Provenance?agent:missing=true",
		"Provenance?agent.who.name=a":                         "Provenance?agent.name=a",
		"Provenance?agent.who:Organization.name=a":            "Provenance?agent:Organization.name=a",
		"Provenance?agent.name=a":                             "Provenance?agent.name=a",
		"Provenance?agent:Organization.who=a":                 "Provenance?agent:Organization.who=a",
		"Organization?_has:Provenance:target:agent.who=a":     "Organization?_has:Provenance:target:agent=a",
		"Location?_has:Provenance:entity:agent.who.name=a":    "Location?_has:Provenance:entity:agent.name=a",
		"PractitionerRole?agent.who=a":                        "PractitionerRole?agent.who=a",
		"Provenance?entity:Provenance.agent.who=a&recorded=1": "Provenance?entity:Provenance.agent=a&recorded=1",
		"HealthcareService?type=a":                            "HealthcareService?type=a",
		"Location?_has:Nothing:x:agent.who=a":                 "Location?_has:Nothing:x:agent.who=a",
	} {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		once := bound.Bind(reg, q)
		if got := once.Parsed.String(); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
		if again := bound.Bind(reg, once.Parsed).Parsed.String(); again != want {
			t.Errorf("%s becomes %s the second time", want, again)
		}
		if q.String() != text {
			t.Errorf("the caller's query is changed to %s", q)
		}
	}
}

// TestProblems holds the problem of each kind, with its place.
func TestProblems(t *testing.T) {
	reg := registry(t)
	for _, tc := range []struct{ req, text, want string }{
		{"SR-22", "Organization?name=a", ""},
		{"SR-22", "Organization?wibble=a", `"wibble" at character 14 is not a search parameter of Organization in this directory: use one of _id,`},
		{"SR-22", "Provenance?target.wibble=a", `"wibble" at character 19 is not a search parameter of any of Organization, Location`},
		{"SR-22", "PractitionerRole?wibble.wobble=a", `"wibble" at character 18 is not a reference from PractitionerRole that a chain can follow: use one of endpoint (to Endpoint)`},
		{"SR-22", "PractitionerRole?identifier.name=a", `"identifier" at character 18 is not a reference`},
		{"SR-22", "PractitionerRole?organization:Location.name=a", `"organization:Location" at character 18 is not a reference`},
		{"SR-22", "Organization?_has:Patient:organization:name=a", `asks for Patient, which is not a type of this directory: use one of Organization,`},
		{"SR-22", "Practitioner?_has:Location:organization:name=a", `"_has:Location:organization" at character 14 does not name a reference from Location to Practitioner: use one of endpoint`},
		{"SR-22", "Practitioner?_has:Practitioner:partof:name=a", `it has none in this directory`},
		{"SR-30", "PractitionerRole?practitioner.gender=male", `"gender" at character 31 is refused on Practitioner for privacy: use rsg`},
		{"SR-23", "Organization?name:above=a", `"name:above" at character 14 has the modifier "above", which name does not take: use :contains, :exact, :missing or none`},
		{"SR-23", "Organization?_lastUpdated:missing=true", `which _lastUpdated does not take: write _lastUpdated=… without it`},
		{"SR-23", "Location?organization:Location=a", `has the modifier "Location", which organization does not take: use :Organization, :identifier, :missing or none`},
		{"SR-22", "Provenance?agent.who.wibble=a", `"wibble" at character 22 is not a search parameter of any of`},
	} {
		q := bind(t, reg, tc.text)
		got := ""
		if p := q.Terms[0].Problem; p != nil {
			got = q.Parsed.Place(p.At) + " " + p.Text
		}
		if !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
			t.Errorf("%s %s: %s, want %s", tc.req, tc.text, got, tc.want)
		}
	}
}

// counter counts the look-ups of each name.
type counter struct {
	*conformance.Registry
	asked []string
}

func (c *counter) Param(t fhir.Type, code string) (conformance.Param, bool) {
	c.asked = append(c.asked, t.String()+"?"+code)
	return c.Registry.Param(t, code)
}

// TestLookUps: each node is looked up once for each type that its resource may have.
func TestLookUps(t *testing.T) {
	for text, want := range map[string][]string{
		"Organization?name=a&address-city=b,c":                                {"Organization?name", "Organization?address-city"},
		"PractitionerRole?location.address-city=a":                            {"PractitionerRole?location", "Location?address-city"},
		"Provenance?agent.who=a":                                              {"Provenance?agent"},
		"Provenance?target:Location.organization.name=a":                      {"Provenance?target", "Location?organization", "Organization?name"},
		"Practitioner?_has:PractitionerRole:practitioner:organization.name=a": {"PractitionerRole?practitioner", "PractitionerRole?organization", "Organization?name"},
		"Provenance?target.name=a":                                            {"Provenance?target", "Organization?name", "Location?name", "Endpoint?name", "HealthcareService?name", "Practitioner?name", "PractitionerRole?name"},
	} {
		reg := &counter{Registry: registry(t)}
		bind(t, reg, text)
		slices.Sort(reg.asked)
		slices.Sort(want)
		if !slices.Equal(reg.asked, want) {
			t.Errorf("%s looks up %v, want %v", text, reg.asked, want)
		}
	}
}
