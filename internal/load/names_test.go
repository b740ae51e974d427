package load

import (
	"fmt"
	"strings"
	"testing"

	"muster/internal/fhir"
)

// TestOldNames loads resources in the form of version 0.3.0 of the guide. They are stored in
// the form of 26.0.0, and loading them again changes nothing.
func TestOldNames(t *testing.T) {
	const sd, cs = hcpdDefinitions + "StructureDefinition/", hcpdDefinitions + "CodeSystem/"
	lines := strings.Join([]string{
		`{"resourceType":"Organization","id":"o","meta":{"profile":["` + sd + `hc-organization|0.3.0-preview"]},"identifier":[{"system":"` + hpioSystem + `","value":"8003626566707032","extension":[{"url":"` + sd + `hc-org-classification","valueCodeableConcept":{"coding":[{"system":"` + cs + `hc-org-classification-cs","version":"1.0.0","code":"network"}]}}]}]}`,
		`{"resourceType":"Location","id":"l","meta":{"profile":["` + sd + `hc-location"]},"extension":[{"url":"` + sd + `hc-alternate-postal-address","valueAddress":{"city":"Balmain"}}],"identifier":[{"system":"` + hcpdDefinitions + `id/hc-local-identifier","value":"1"}]}`,
		`{"resourceType":"Location","id":"area","meta":{"profile":["` + sd + `hc-service-coverage-area"]},"address":{"country":"AU"}}`,
		`{"resourceType":"HealthcareService","id":"h","meta":{"profile":["` + sd + `hc-healthcareservice"]},"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/iar-levels-of-care","valueCodeableConcept":{"coding":[{"system":"` + cs + `iar-levels-of-care","code":"3","display":"Level 3 (moderate intensity interventions)"}]}},{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/new-patient-availability","valueCodeableConcept":{"coding":[{"system":"` + cs + `new-patient-availability-cs","code":"accepting"}]}}],"serviceProvisionCode":[{"coding":[{"system":"http://terminology.hl7.org.au/CodeSystem/service-provision-conditions","code":"BBO"}]},{"coding":[{"system":"` + cs + `hc-service-provision-code-cs","code":"MIX"}]}]}`,
	}, "\n")
	m := newMemory()
	for _, want := range []string{"4 created 0 unchanged", "0 created 4 unchanged"} {
		s, rejects, err := loadAll(t, m, text("in", lines))
		if err != nil || rejects != nil {
			t.Fatal(rejects, err)
		}
		if got := fmt.Sprintf("%d created %d unchanged", s.Created, s.Unchanged); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for key, want := range map[string][]string{
		"Organization/o":      {sd + `hcpd-organization"]`, `"url":"` + sd + `hi-org-classification"`, `{"system":"` + cs + `hi-org-classification-cs","code":"network"}`},
		"Location/l":          {sd + `hcpd-location"]`, `"url":"` + sd + `hcpd-alternate-postal-address"`, `[{"system":"` + hcpdDefinitions + `id/hcpd-local-identifier","value":"1"}]`},
		"Location/area":       {sd + `hcpd-service-coverage-area"]`, `"address":{"country":"AU"}}`},
		"HealthcareService/h": {sd + `hcpd-healthcareservice"]`, `{"system":"https://healthterminologies.gov.au/fhir/CodeSystem/iar-levels-of-care-1","code":"level3","display":"Level 3 - Moderate intensity services"}`, `{"system":"https://healthterminologies.gov.au/fhir/CodeSystem/new-patient-availability-1","code":"accepting"}`, `{"system":"` + cs + `service-provision-cs","code":"BB"}`, `{"system":"` + cs + `service-provision-cs","code":"MIX"}`},
	} {
		line := string(m.current[key].Document.Line(1, stamp))
		for _, part := range want {
			if !strings.Contains(line, part) {
				t.Errorf("%s is stored without %s:\n%s", key, part, line)
			}
		}
	}
}

// TestReindexRenames checks that a reindex replaces the names of 0.3.0 in a stored line, and
// leaves other lines as they are.
func TestReindexRenames(t *testing.T) {
	extract, err := NewExtractFunc(newExtractor(t))
	if err != nil {
		t.Fatal(err)
	}
	line := `{"resourceType":"Location","id":"l","meta":{"versionId":"1","lastUpdated":"2026-03-01T00:00:00.000Z","profile":["` + hcpdDefinitions + `StructureDefinition/hc-location"]},"status":"active"}`
	_, change, err := extract(nil, fhir.Location, []byte(line))
	if err != nil || change == nil || !strings.Contains(string(change.Document.Line(1, stamp)), "StructureDefinition/hcpd-location") {
		t.Errorf("change %v, %v", change, err)
	}
	_, change, err = extract(nil, fhir.Location, []byte(strings.Replace(line, "hc-location", "hcpd-location", 1)))
	if err != nil || change != nil {
		t.Errorf("change %v, %v, want none", change, err)
	}
}
