package policy_test

import (
	"slices"
	"testing"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// TestInherit checks what a resource inherits (SU-03..06, SU-11, A-47).
func TestInherit(t *testing.T) {
	const (
		inactive, suppressed  = index.Inactive, index.Suppressed
		byOrg, byPractitioner = index.Suppressed | index.ByOrganisation, index.Suppressed | index.ByPractitioner
	)
	org := func(state index.Visibility) policy.Owner { return policy.Owner{Type: fhir.Organization, State: state} }
	practitioner := func(state index.Visibility) policy.Owner { return policy.Owner{Type: fhir.Practitioner, State: state} }
	type owners = []policy.Owner
	type users = []index.Visibility
	for name, c := range map[string]struct {
		owners owners
		users  users
		want   index.Visibility
	}{
		"nothing":                                   {nil, nil, 0},
		"a visible owner":                           {owners{org(0)}, nil, 0},
		"a suppressed organisation":                 {owners{org(suppressed)}, nil, byOrg},
		"an organisation that hides dependants":     {owners{org(index.HidesDependants)}, nil, byOrg},
		"an inactive organisation":                  {owners{org(inactive)}, nil, inactive},
		"a suppressed and inactive organisation":    {owners{org(suppressed | inactive)}, nil, byOrg | inactive},
		"a suppressed practitioner":                 {owners{org(0), practitioner(suppressed)}, nil, byPractitioner},
		"two initiators":                            {owners{practitioner(suppressed), org(suppressed)}, nil, byOrg | byPractitioner},
		"one suppresses, the other is inactive":     {owners{org(inactive), practitioner(suppressed)}, nil, byPractitioner | inactive},
		"a visible user":                            {nil, users{0}, 0},
		"a suppressed user":                         {nil, users{suppressed}, byOrg},
		"an inactive user":                          {nil, users{inactive}, inactive},
		"a suppressed and a visible user":           {nil, users{suppressed, 0}, 0},
		"a suppressed and an inactive user":         {nil, users{suppressed, inactive}, byOrg | inactive},
		"a suppressed owner and a visible user":     {owners{org(suppressed)}, users{0}, byOrg},
		"an inactive owner and a suppressed user":   {owners{org(inactive)}, users{suppressed}, byOrg | inactive},
		"a visible owner and only suppressed users": {owners{org(0)}, users{suppressed, suppressed}, byOrg},
	} {
		if got := policy.Inherit(c.owners, c.users); got != c.want {
			t.Errorf("%s: %06b, want %06b", name, got, c.want)
		}
	}
}

// TestWithInherited checks how a resource shows what it inherits (SU-07, SU-11), and that its own
// state and codings stay.
func TestWithInherited(t *testing.T) {
	const (
		byOrg  = index.Suppressed | index.ByOrganisation
		byBoth = byOrg | index.ByPractitioner
		org    = `{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"organisation-initiated"}`
		person = `{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"practitioner-initiated"}`
		other  = `{"system":"http://x","code":"other"}`
	)
	extension := func(codings string) string {
		return `{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[` + codings + `]}}]}`
	}
	for _, c := range []struct {
		t         fhir.Type
		own       string
		inherited index.Visibility
		want      string
	}{
		{fhir.Location, `{"id":"a"}`, 0, `{"id":"a"}`},
		{fhir.Location, `{"id":"a"}`, index.Inactive, `{"id":"a","status":"inactive"}`},
		{fhir.Location, `{"status":"suspended","id":"a"}`, index.Inactive, `{"status":"inactive","id":"a"}`},
		{fhir.Endpoint, `{"status":"suspended"}`, index.Inactive, `{"status":"off"}`},
		{fhir.Endpoint, `{"status":"suspended"}`, byOrg, `{"status":"suspended","extension":[` + extension(org) + `]}`},
		{fhir.HealthcareService, `{"active":true}`, index.Inactive, `{"active":false}`},
		{fhir.PractitionerRole, `{"id":"a"}`, byBoth, `{"id":"a","extension":[` + extension(org+`,`+person) + `]}`},
		{fhir.PractitionerRole, `{"extension":[` + extension(person) + `]}`, byOrg, `{"extension":[` + extension(person+`,`+org) + `]}`},
		{fhir.PractitionerRole, `{"extension":[` + extension(person) + `]}`, index.Suppressed | index.ByPractitioner, `{"extension":[` + extension(person) + `]}`},
		{fhir.PractitionerRole, `{"extension":[` + extension(other) + `]}`, byOrg, `{"extension":[` + extension(other+`,`+org) + `]}`},
		{fhir.Location, `{"extension":[{"url":"http://x"}]}`, byOrg | index.Inactive, `{"extension":[{"url":"http://x"},` + extension(org) + `],"status":"inactive"}`},
		{fhir.Location, `{"extension":[` + extension(other) + `]}`, byOrg, `{"extension":[` + extension(other+`,`+org) + `]}`},
	} {
		v := fastjson.MustParse(c.own)
		policy.WithInherited(&fastjson.Arena{}, c.t, v, c.inherited)
		if got := v.String(); got != c.want {
			t.Errorf("%v %s with %b:\n%s, want\n%s", c.t, c.own, c.inherited, got, c.want)
		}
		if c.inherited != 0 && policy.OwnState(c.t, v)&c.inherited&index.Hidden != c.inherited&index.Hidden {
			t.Errorf("%v %s: its state is %b, which lacks some of %b", c.t, v, policy.OwnState(c.t, v), c.inherited)
		}
	}
}

// TestWithoutEffect lists the references that states do not follow.
func TestWithoutEffect(t *testing.T) {
	for text, want := range map[string][]string{
		`{"organization":{"reference":"Organization/o"},"practitioner":{"reference":"Practitioner/p","identifier":{"value":"1"}}}`: nil,
		`{"organization":{"identifier":{"value":"1"}},"practitioner":{"reference":"#p"}}`:                                          {"organization", "practitioner"},
		`{"endpoint":[{"reference":"Endpoint/e"},{"reference":"#e"}],"organization":{"display":"Clinic"}}`:                         {"endpoint"},
	} {
		if got := policy.WithoutEffect(fhir.PractitionerRole, fastjson.MustParse(text)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestMayInherit checks which part of a state may be inherited: what WithInherited writes into a
// resource that depends on others.
func TestMayInherit(t *testing.T) {
	t.Attr("requirements", "SU-07 SU-11")
	const (
		hidden = `"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"}]`
		owner  = `"managingOrganization":{"reference":"Organization/o"}`
	)
	for _, c := range []struct {
		t    fhir.Type
		text string
		want index.Visibility
	}{
		{fhir.Location, `{"status":"active",` + owner + `}`, 0},
		{fhir.Location, `{"status":"inactive",` + owner + `}`, index.Inactive},
		{fhir.Location, `{"status":"suspended",` + owner + `}`, 0},
		{fhir.Location, `{"status":"suspended",` + hidden + `,` + owner + `}`, index.Suppressed},
		{fhir.Location, `{"status":"inactive",` + hidden + `}`, 0},
		{fhir.Location, `{"status":"inactive","managingOrganization":{"reference":"#o"}}`, 0},
		{fhir.Location, `{"status":"inactive","managingOrganization":{"identifier":{"value":"1"}}}`, 0},
		{fhir.Location, `{"status":"inactive","managingOrganization":{"display":"o"}}`, 0},
		{fhir.Endpoint, `{"status":"off",` + hidden + `}`, index.Suppressed | index.Inactive},
		{fhir.Endpoint, `{"status":"inactive"}`, 0},
		{fhir.PractitionerRole, `{"active":false,"practitioner":{"reference":"Practitioner/p"}}`, index.Inactive},
		{fhir.PractitionerRole, `{"active":"false","practitioner":{"reference":"Practitioner/p"}}`, 0},
		{fhir.HealthcareService, `{"active":false,"providedBy":{"reference":"Organization/p"},` + hidden + `}`, index.Suppressed | index.Inactive},
		{fhir.HealthcareService, `{"active":false,"location":[{"reference":"Location/p"}]}`, 0},
		{fhir.Organization, `{"active":false,"partOf":{"reference":"Organization/o"}}`, 0},
		{fhir.Practitioner, `{"active":false}`, 0},
		{fhir.Provenance, `{` + hidden + `,"target":[{"reference":"Location/l"}]}`, 0},
	} {
		if got := policy.MayInherit(c.t, fastjson.MustParse(c.text)); got != c.want {
			t.Errorf("%v %s: %b, want %b", c.t, c.text, got, c.want)
		}
	}
}
