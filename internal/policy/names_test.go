package policy

import (
	"testing"

	"github.com/valyala/fastjson"
)

// TestConformNames checks which names of version 0.3.0 of the guide are replaced, anywhere in a
// resource, and that the result is not changed again.
func TestConformNames(t *testing.T) {
	const sd = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/"
	const provision = "http://terminology.hl7.org.au/CodeSystem/service-provision-conditions"
	const newProvision = "http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs"
	for _, c := range []struct{ name, before, after string }{
		{"profile", `{"meta":{"profile":["` + sd + `hc-location"]}}`, `{"meta":{"profile":["` + sd + `hcpd-location"]}}`},
		{"profile with version", `{"meta":{"profile":["http://x","` + sd + `hc-location|0.3.0"]}}`, `{"meta":{"profile":["http://x","` + sd + `hcpd-location"]}}`},
		{"both profiles", `{"meta":{"profile":["` + sd + `hcpd-location","` + sd + `hc-location"]}}`, `{"meta":{"profile":["` + sd + `hcpd-location"]}}`},
		{"both profiles beside extensions", `{"meta":{"profile":["` + sd + `hcpd-location","` + sd + `hc-location"],"_profile":[null,{"id":"i"}]}}`, `{"meta":{"profile":["` + sd + `hcpd-location","` + sd + `hcpd-location"],"_profile":[null,{"id":"i"}]}}`},
		{"new profile keeps its version", `{"meta":{"profile":["` + sd + `hcpd-location|26.0.0"]}}`, ""},
		{"profile of others", `{"meta":{"profile":["http://example.org/hc-location"]}}`, ""},
		{"extension", `{"a":[{"url":"` + sd + `hc-alternate-postal-address"}]}`, `{"a":[{"url":"` + sd + `hcpd-alternate-postal-address"}]}`},
		{"nested extension", `{"extension":[{"url":"x","extension":[{"url":"` + sd + `hc-org-classification"}]}]}`, `{"extension":[{"url":"x","extension":[{"url":"` + sd + `hi-org-classification"}]}]}`},
		{"suppression", `{"extension":[{"url":"` + sd + `hc-suppressed","valueBoolean":true}]}`, ""},
		{"code", `{"coding":[{"system":"` + provision + `","version":"1","code":"BBO","display":"Bulk billing only"}]}`, `{"coding":[{"system":"` + newProvision + `","code":"BB","display":"Bulk Billing"}]}`},
		{"code without display", `{"coding":[{"system":"` + provision + `","code":"BBO"}]}`, `{"coding":[{"system":"` + newProvision + `","code":"BB"}]}`},
		{"code that is the same", `{"coding":[{"system":"` + provision + `","code":"FAP","display":"Fees Apply"}]}`, `{"coding":[{"system":"` + newProvision + `","code":"FAP","display":"Fees Apply"}]}`},
		{"code in the new system", `{"coding":[{"system":"` + newProvision + `","version":"1","code":"BBO"}]}`, ""},
		{"alias that is in use", `{"system":"http://hl7.org.au/fhir/pd/CodeSystem/endpoint-payload-type","code":"x"}`, ""},
		{"contained", `{"contained":[{"identifier":[{"system":"http://digitalhealth.gov.au/fhir/hcpd/id/hc-local-identifier","value":"1"}]}]}`, `{"contained":[{"identifier":[{"system":"http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier","value":"1"}]}]}`},
		{"other shapes", `{"system":["x"],"url":{"a":1},"profile":"` + sd + `hc-location","meta":{"profile":[1,null]}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.after
			if want == "" {
				want = c.before
			}
			v := fastjson.MustParse(c.before)
			var a fastjson.Arena
			if changed := ConformNames(&a, v); changed != (c.after != "") {
				t.Errorf("changed: %v", changed)
			}
			if got := v.String(); got != fastjson.MustParse(want).String() {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if ConformNames(&a, v) {
				t.Errorf("changed again: %s", v)
			}
		})
	}
}
