package policy

import (
	"slices"
	"strings"
	"testing"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/search/bound"
)

// TestAccess: the grants of the interaction decide which types a client reaches, and its policy can
// only take away.
func TestAccess(t *testing.T) {
	t.Attr("requirements", "AU-02 A-06")
	organizations := fhir.TypesOf(fhir.Organization)
	client := auth.Of("https://issuer.example", "clinic")
	client.Grants = auth.Grants{auth.Search: organizations, auth.Export: fhir.AllTypes()}
	rules := SuppressedRules{Search: true, Local: true}
	for i, want := range map[auth.Interaction]fhir.TypeSet{auth.Search: organizations, auth.Read: 0, auth.Export: fhir.AllTypes()} {
		if may := rules.Access(client, i); may.Types != want || may.Suppressed != SuppressedOffered || may.DeltasOnly {
			t.Errorf("%s: %+v", i, may)
		}
	}
	client.Policy = auth.Policy{HideSuppressed: true, DeltasOnly: true}
	if may := rules.Access(client, auth.Export); may.Suppressed != SuppressedHidden || !may.DeltasOnly || may.Types != fhir.AllTypes() {
		t.Errorf("with a policy: %+v", may)
	}
	if may := (SuppressedRules{}).Access(auth.Anonymous, auth.Search); may.Suppressed != SuppressedHidden {
		t.Errorf("what the rules do not allow: %+v", may)
	}
}

// TestBeyond: each step that leads to a type which the client does not reach is refused at its
// place, with what to write or to ask for.
func TestBeyond(t *testing.T) {
	t.Attr("requirements", "AU-03")
	reg := registry(t)
	for _, c := range []struct {
		types, text string
		refused     []string // the beginnings
	}{
		{"Organization", "Organization?name=a&partof.name=a&_has:Organization:partof:partof.name=a", nil},
		{"Organization", "Location?name=a", []string{"The token does not cover Location in exports: ask for a token with the scope system/Location.rs."}},
		{"Location", "Location?organization.name=a", []string{`"organization" at character 10 leads to Organization, which the token does not cover in exports: ask for`}},
		{"Location Organization", "Location?organization.partof.endpoint.name=a", []string{`"endpoint" at character 30 leads to Endpoint,`}},
		{"Organization", "Organization?_has:Location:organization:name=a&_has:Endpoint:organization:name=a",
			[]string{`"_has:Location:organization" at character 14 leads to Location,`, `"_has:Endpoint:organization" at character 48 leads to Endpoint,`}},
		{"Organization Location", "Organization?_has:Location:organization:_has:PractitionerRole:location:_id=a", []string{`"_has:PractitionerRole:location" at character 41 leads to PractitionerRole,`}},
		{"Provenance Organization Practitioner", "Provenance?target.identifier=a", []string{`"target" at character 12 leads to Location, Endpoint, HealthcareService, PractitionerRole, which the token does not cover in exports: write target:Organization.identifier=a, or ask for a token with the scopes system/Location.rs `}},
		{"Provenance Organization", "Provenance?target:Organization.identifier=a", nil},
		{"Provenance Organization", "Provenance?target:Practitioner.identifier=a", []string{`"target:Practitioner" at character 12 leads to Practitioner, which the token does not cover in exports: ask for`}},
		{"Provenance", "Provenance?target.resolve().as(Practitioner)", []string{`"target.resolve().as(Practitioner)" at character 12 leads to Practitioner,`}},
		{"PractitionerRole", "PractitionerRole?organization=Organization/a", nil},             // what the role itself says
		{"Organization", "Organization?_has:Patient:organization:name=a&nowhere.name=a", nil}, // refused otherwise
	} {
		may := FullAccess()
		may.Interaction, may.Types = auth.Export, 0
		for _, name := range strings.Fields(c.types) {
			typ, _ := fhir.ParseType(name)
			may.Types |= fhir.TypesOf(typ)
		}
		q := read(t, c.text)
		issues := forbidden(reg, q, may)
		if !slices.EqualFunc(issues, c.refused, func(i fhir.Issue, begin string) bool {
			return strings.HasPrefix(i.Diagnostics, begin) && i.Reason == fhir.ScopeMissing
		}) {
			t.Errorf("%s with %s: refused %q, want %q", c.text, c.types, issues, c.refused)
		}
		if issues := forbidden(reg, q, FullAccess()); len(issues) > 0 {
			t.Errorf("%s with all types: refused %q", c.text, issues)
		}
		_, searched := CheckSearch(bound.Bind(reg, q), SearchRules{}, may)
		if n := len(slices.DeleteFunc(searched, func(i fhir.Issue) bool { return i.Code != fhir.CodeForbidden })); n != len(c.refused) {
			t.Errorf("%s with %s: a search refuses %d terms, want %d", c.text, c.types, n, len(c.refused))
		}
	}
}
