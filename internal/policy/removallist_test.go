package policy

import (
	"testing"

	"muster/internal/fhir"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"
)

// TestRemovalIdentifiers checks by which identifiers the removal List names a resource (RM-03).
func TestRemovalIdentifiers(t *testing.T) {
	t.Attr("requirements", "RM-03")
	const all = `{"identifier":[{"system":"` + HPIISystem + `","value":"hpii"},{"system":"` + HPIOSystem + `","value":"hpio"},{"system":"` + HSPOSystem +
		`","value":"hspo"},{"system":"` + LocalSystem + `","value":"local"},{"system":"http://x","value":"other"},{"system":"` + LocalSystem + `","value":"local"},` +
		`{"value":"no system"},{"system":"http://x"},{"system":1,"value":2},"text"]}`
	const other = `{"identifier":[{"system":"http://x","value":"a"},{"system":"http://x","value":"b"}]}`
	local := []Identifier{{LocalSystem, "local"}}
	for _, c := range []struct {
		of       fhir.Type
		resource string
		want     []Identifier
	}{
		{fhir.Organization, all, []Identifier{{HPIOSystem, "hpio"}, {HSPOSystem, "hspo"}}},
		{fhir.Practitioner, all, []Identifier{{HPIISystem, "hpii"}}},
		{fhir.Location, all, local},
		{fhir.HealthcareService, all, local},
		{fhir.PractitionerRole, all, local},
		{fhir.Endpoint, all, local},
		{fhir.Practitioner, other, []Identifier{{"http://x", "a"}, {"http://x", "b"}}},
		{fhir.Organization, `{"identifier":[{"value":"no system"}]}`, nil},
		{fhir.Location, `{"identifier":{"system":"http://x","value":"a"}}`, nil},
		{fhir.Provenance, `{}`, nil},
	} {
		if diff := cmp.Diff(c.want, RemovalIdentifiers(c.of, fastjson.MustParse(c.resource))); diff != "" {
			t.Errorf("%v %s (-want +got):\n%s", c.of, c.resource, diff)
		}
	}
}
