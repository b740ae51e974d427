package policy

import (
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"
)

// TestStrip shows what goes and what stays (ST-01..05, SU-08, SU-12).
func TestStrip(t *testing.T) {
	t.Attr("requirements", "ST-01 ST-02 ST-03 ST-04 ST-05 SU-08 SU-12")
	const (
		deactivated = `{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated","extension":[{"url":"deactivatedBy"}]}`
		alias       = `{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated-by"}`
		suppressed  = `{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"}`
		rsg         = `{"url":"http://hl7.org/fhir/StructureDefinition/individual-recordedSexOrGender"}`
		identity    = `{"url":"http://hl7.org/fhir/StructureDefinition/individual-genderIdentity"}`
		legacy      = `{"url":"http://hl7.org/fhir/StructureDefinition/patient-genderIdentity"}`
		prescriber  = `{"system":"http://ns.electronichealth.net.au/id/medicare-prescriber-number","value":"1"}`
		typed       = `{"type":{"coding":[{"system":"http://terminology.hl7.org.au/CodeSystem/v2-0203","code":"PRES"}]},"value":"1"}`
		hpii        = `{"system":"http://ns.electronichealth.net.au/id/hi/hpii/1.0","value":"1"}`
	)
	for _, c := range []struct {
		name       string
		t          fhir.Type
		text, want string // want empty: nothing is stripped
	}{
		{"private facts", fhir.Practitioner, `{"id":"a","gender":"x","_gender":{},"birthDate":"x","_birthDate":{},"photo":[1],"address":{},"name":[1]}`, `{"id":"a","name":[1]}`},
		{"private facts in other letters", fhir.Practitioner, `{"id":"a","Gender":"x","_GENDER":{},"BirthDate":"x","name":[1]}`, `{"id":"a","name":[1]}`},
		{"narrative that tells them", fhir.Practitioner, `{"text":{"div":"male"},"gender":"male","id":"a"}`, `{"id":"a"}`},
		{"narrative that cannot", fhir.Practitioner, `{"text":{"div":"Wen"},"name":[1]}`, ``},
		{"gender identity, both urls", fhir.Practitioner, `{"extension":[` + identity + `,` + rsg + `,` + legacy + `]}`, `{"extension":[` + rsg + `]}`},
		{"only gender identity", fhir.Practitioner, `{"id":"a","extension":[` + identity + `]}`, `{"id":"a"}`},
		{"prescriber by system and type", fhir.Practitioner, `{"identifier":[` + prescriber + `,` + hpii + `,` + typed + `]}`, `{"identifier":[` + hpii + `]}`},
		{"prescriber in other writing", fhir.Practitioner, `{"identifier":[{"system":"HTTP://ns.electronichealth.net.au/id/Medicare-prescriber-number","value":"1"},` + hpii + `,{"system":"http://ns.electronichealth.net.au/id/medicare-prescriber-number/"}]}`, `{"identifier":[` + hpii + `]}`},
		{"prescriber type of any system", fhir.Practitioner, `{"identifier":[{"type":{"coding":[{"code":"x"},{"system":"http://other","code":"PRES"}]}},{"type":{"coding":[{"code":"pres"}]}},` + hpii + `]}`, `{"identifier":[` + hpii + `]}`},
		{"prescriber of a qualification", fhir.Practitioner, `{"qualification":[{"identifier":[` + prescriber + `],"code":1}]}`, `{"qualification":[{"code":1}]}`},
		{"another type keeps its own", fhir.Organization, `{"address":[1],"photo":1,"text":1}`, ``},
		{"a photo of a service", fhir.HealthcareService, `{"photo":{"url":"http://x"}}`, ``},
		{"prescriber of a role", fhir.PractitionerRole, `{"id":"r","text":{"div":"1"},"identifier":[` + hpii + `,` + prescriber + `]}`, `{"id":"r","identifier":[` + hpii + `]}`},
		{"elements of a person in a role", fhir.PractitionerRole, `{"id":"r","gender":"male","birthDate":"1970-01-01","photo":[1],"address":[1]}`, `{"id":"r"}`},
		{"prescriber in a reference", fhir.PractitionerRole, `{"practitioner":{"reference":"Practitioner/p","identifier":` + prescriber + `}}`, `{"practitioner":{"reference":"Practitioner/p"}}`},
		{"only a prescriber in a reference", fhir.PractitionerRole, `{"id":"r","practitioner":{"identifier":` + typed + `}}`, `{"id":"r"}`},
		{"prescriber of a target", fhir.Provenance, `{"id":"v","target":[{"identifier":` + prescriber + `},{"reference":"Practitioner/p"}]}`, `{"id":"v","target":[{"reference":"Practitioner/p"}]}`},
		{"prescriber of an entity", fhir.Provenance, `{"id":"v","entity":[{"role":"source","what":{"identifier":` + prescriber + `}}]}`, `{"id":"v","entity":[{"role":"source"}]}`},
		{"prescriber of an agent", fhir.Provenance, `{"id":"v","agent":[{"who":{"identifier":` + prescriber + `}}]}`, `{"id":"v"}`},
		{"prescriber of an organisation", fhir.Organization, `{"identifier":[` + prescriber + `],"name":"x"}`, `{"name":"x"}`},
		{"prescriber in an extension", fhir.PractitionerRole, `{"extension":[{"url":"http://x","valueIdentifier":` + prescriber + `},{"url":"http://y","valueReference":{"identifier":` + typed + `,"display":"x"}}]}`,
			`{"extension":[{"url":"http://y","valueReference":{"display":"x"}}]}`},
		{"prescriber over https, with version and space", fhir.PractitionerRole, `{"id":"r","identifier":[{"system":" https://ns.electronichealth.net.au/id/medicare-prescriber-number|1.0"}]}`, `{"id":"r"}`},
		{"another PRES", fhir.HealthcareService, `{"type":[{"coding":[{"code":"PRES"}]}],"identifier":[` + hpii + `]}`, ``},
		{"gender identity of a role", fhir.PractitionerRole, `{"id":"r","extension":[` + identity + `]}`, `{"id":"r"}`},
		{"gender identity deep inside", fhir.Practitioner, `{"name":[{"family":"x","_given":[{"extension":[` + legacy + `]}],"extension":[{"url":"http://x","extension":[` + identity + `]}]}]}`, `{"name":[{"family":"x"}]}`},
		{"gender identity of other writing", fhir.Organization, `{"id":"o","modifierExtension":[{"url":"https://hl7.org/fhir/StructureDefinition/individual-genderidentity/"}]}`, `{"id":"o"}`},
		{"contained of an unknown type", fhir.PractitionerRole, `{"contained":[{"resourceType":"Person","gender":"male","address":[1]},{"gender":"x","id":"y"}],"id":"r"}`, `{"contained":[{"resourceType":"Person"},{"id":"y"}],"id":"r"}`},
		{"a person in a contained Bundle", fhir.PractitionerRole, `{"id":"r","contained":[{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Practitioner","gender":"male","id":"x"}}]}]}`, `{"id":"r","contained":[{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Practitioner","id":"x"}}]}]}`},
		{"a person in an unknown member", fhir.PractitionerRole, `{"id":"r","practitionerResource":{"resourceType":"Practitioner","birthDate":"1970","id":"x"}}`, `{"id":"r","practitionerResource":{"resourceType":"Practitioner","id":"x"}}`},
		{"a person in a reference", fhir.PractitionerRole, `{"practitioner":{"resourceType":"Practitioner","gender":"x","reference":"Practitioner/p"}}`, `{"practitioner":{"resourceType":"Practitioner","reference":"Practitioner/p"}}`},
		{"prescriber in a conditional reference", fhir.PractitionerRole, `{"id":"r","practitioner":{"reference":"http://x/fhir/Practitioner?identifier=http://ns.electronichealth.net.au/id/medicare-prescriber-number|1"}}`, `{"id":"r"}`},
		{"prescriber in a value", fhir.PractitionerRole, `{"id":"r","identifier":[{"value":"http://ns.electronichealth.net.au/id/medicare-prescriber-number|1"},` + hpii + `]}`, `{"id":"r","identifier":[` + hpii + `]}`},
		{"prescriber by the text of its type", fhir.Practitioner, `{"id":"p","identifier":[{"type":{"text":"Medicare Prescriber Number"},"value":"1"},{"type":{"text":"PRES"}}]}`, `{"id":"p"}`},
		{"prescriber with a fragment", fhir.Practitioner, `{"id":"p","identifier":[{"system":"www.ns.electronichealth.net.au/id/medicare-prescriber-number#x","value":"1"}]}`, `{"id":"p"}`},
		{"gender identity of another edition", fhir.Practitioner, `{"id":"p","extension":[{"url":"http://hl7.org/fhir/5.0/StructureDefinition/individual-genderIdentity#v"},{"url":"http://hl7.org.au/fhir/StructureDefinition/gender-identity"}]}`, `{"id":"p"}`},
		{"contained prescriber", fhir.Provenance, `{"contained":[{"resourceType":"PractitionerRole","identifier":[` + prescriber + `],"text":{"div":"1"}}],"id":"v"}`, `{"contained":[{"resourceType":"PractitionerRole"}],"id":"v"}`},
		{"deactivated at the root", fhir.Organization, `{"extension":[` + suppressed + `,` + deactivated + `,` + alias + `]}`, `{"extension":[` + suppressed + `]}`},
		{"deactivated on active", fhir.HealthcareService, `{"active":false,"_active":{"extension":[` + alias + `]}}`, `{"active":false}`},
		{"deactivated on status", fhir.Location, `{"_status":{"id":"x","extension":[` + deactivated + `]}}`, `{"_status":{"id":"x"}}`},
		{"contained", fhir.PractitionerRole, `{"contained":[{"resourceType":"Practitioner","gender":"male","id":"p"},{"resourceType":"Location","extension":[` + alias + `]}]}`,
			`{"contained":[{"resourceType":"Practitioner","id":"p"},{"resourceType":"Location"}]}`},
		{"narrative around a private contained", fhir.PractitionerRole, `{"text":{"div":"male"},"contained":[{"resourceType":"Practitioner","gender":"male"}],"id":"r"}`, `{"contained":[{"resourceType":"Practitioner"}],"id":"r"}`},
		{"narrative around an internal contained", fhir.PractitionerRole, `{"text":{"div":"x"},"contained":[{"resourceType":"Practitioner","extension":[` + alias + `]}]}`, `{"text":{"div":"x"},"contained":[{"resourceType":"Practitioner"}]}`},
		{"suppression stays", fhir.Practitioner, `{"extension":[` + suppressed + `,` + rsg + `]}`, ``},
		{"odd shapes", fhir.Practitioner, `{"extension":{"url":1},"identifier":"x","_active":[1],"contained":7,"qualification":[null]}`, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := fastjson.MustParse(c.text)
			stripped := Strip(c.t, v).Any()
			want := c.want
			if want == "" {
				want = c.text
			}
			if diff := cmp.Diff(want, string(v.MarshalTo(nil))); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if stripped != (c.want != "") {
				t.Errorf("Strip reports %v", stripped)
			}
			if Strip(c.t, v).Any() {
				t.Error("Strip finds something the second time")
			}
		})
	}
}

// TestOwnState shows the state of resources as they say it (VI-03, VI-15, SU-01,
// SU-03, SU-10).
func TestOwnState(t *testing.T) {
	t.Attr("requirements", "VI-03 VI-15 SU-01 SU-03 SU-10")
	suppressed := func(parts string) string {
		return `{"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[` + parts + `]}]}`
	}
	old := func(value string) string {
		return `{"extension":[{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed","valueBoolean":` + value + `}]}`
	}
	const visible = index.Visibility(0)
	for _, c := range []struct {
		t    fhir.Type
		text string
		want index.Visibility
	}{
		{fhir.Organization, `{}`, visible},
		{fhir.Organization, `{"active":true}`, visible},
		{fhir.Organization, `{"active":false}`, index.Inactive},
		{fhir.Practitioner, `{"active":false}`, index.Inactive},
		{fhir.PractitionerRole, `{"active":false}`, index.Inactive},
		{fhir.HealthcareService, `{"active":false}`, index.Inactive},
		{fhir.Location, `{}`, visible},
		{fhir.Location, `{"status":"active"}`, visible},
		{fhir.Location, `{"status":"inactive"}`, index.Inactive},
		{fhir.Location, `{"active":false}`, visible},
		{fhir.Endpoint, `{"status":"active"}`, visible},
		{fhir.Endpoint, `{"status":"suspended"}`, index.Inactive},
		{fhir.Endpoint, `{"status":"off"}`, index.Inactive},
		{fhir.Provenance, `{"active":false,"status":"off"}`, visible},
		{fhir.Provenance, suppressed(``), index.Suppressed},
		{fhir.Provenance, old(`false`), visible},
		{fhir.Organization, suppressed(`{"url":"includeSelf","valueBoolean":true}`), index.Suppressed},
		{fhir.Organization, suppressed(`{"url":"includeSelf","valueBoolean":false}`), index.HidesDependants},
		{fhir.Organization, suppressed(`{"url":"suppressedBy"}`), index.Suppressed},
		{fhir.Location, suppressed(`{"url":"includeSelf","valueBoolean":false}`), index.Suppressed},
		{fhir.Practitioner, suppressed(``), index.Suppressed},
		{fhir.PractitionerRole, old(`true`), index.Suppressed},
		{fhir.Practitioner, old(`false`), visible},
		{fhir.Endpoint, `{"status":"off",` + suppressed(``)[1:], index.Inactive | index.Suppressed},
	} {
		if got := OwnState(c.t, fastjson.MustParse(c.text)); got != c.want {
			t.Errorf("OwnState(%s, %s) = %v, want %v", c.t, c.text, got, c.want)
		}
	}
}

// TestMayTell: every URL that a rule recognises passes the first look at a text.
func TestMayTell(t *testing.T) {
	urls := []string{suppressedName, suppressedOldName}
	for _, f := range notHeld {
		urls = append(urls, f.fragments...)
	}
	for _, url := range urls {
		if len(url) < shortestURL || !mayMatch([]byte(strings.ToUpper(url))) {
			t.Errorf("%s is passed over", url)
		}
	}
}
