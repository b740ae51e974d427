package search

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/searchtest/compare"
)

func compiler(t *testing.T) *search.Compiler {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return search.New(reg, compare.Base, index.Zone())
}

// TestFiltersForSomeTypesOnly: the guide's second example asks for seven types and has
// filters for five of them. It is refused, and the refusal names the two others.
func TestFiltersForSomeTypesOnly(t *testing.T) {
	t.Attr("requirements", "KO-26 KO-29")
	body := `{"resourceType":"Parameters","parameter":[{"name":"_outputFormat","valueString":"application/fhir+ndjson"},` +
		`{"name":"_type","valueString":"Organization,Location,HealthcareService,Practitioner,PractitionerRole,Endpoint,Provenance"},` +
		`{"name":"_typeFilter","valueString":"HealthcareService?location.address-city=Balmain"},` +
		`{"name":"_typeFilter","valueString":"Location?address-city=Balmain"},` +
		`{"name":"_typeFilter","valueString":"Organization?_has:HealthcareService:organization:service-type=789718008"},` +
		`{"name":"_typeFilter","valueString":"PractitionerRole?location.address-city=Balmain"},` +
		`{"name":"_typeFilter","valueString":"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain"}]}`
	_, err := export.ParseRequest([]byte(body), compiler(t), export.DefaultRules(), policy.SuppressedOffered)
	issues, _ := fhir.AsIssues(err)
	text := ""
	for _, i := range issues {
		text += string(i.Code) + " " + i.Diagnostics + "\n"
	}
	for _, want := range []string{"invalid", "Endpoint", "Provenance"} {
		if !strings.Contains(text, want) {
			t.Errorf("the refusal does not say %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Location?") || strings.Contains(text, "Practitioner?") {
		t.Errorf("the refusal complains about filters that are sound:\n%s", text)
	}
}

// TestShippedRequests: the two export requests that the guide ships are accepted as they
// are.
func TestShippedRequests(t *testing.T) {
	t.Attr("requirements", "KO-30 KO-35")
	files, _ := filepath.Glob("../../../shared/data/ig-examples/Parameters-*.json")
	if len(files) == 0 {
		t.Skip("the guide's examples are not beside the project: nothing to read")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := export.ParseRequest(body, compiler(t), export.DefaultRules(), policy.SuppressedOffered)
		if err != nil {
			t.Errorf("%s is refused: %v", filepath.Base(file), err)
			continue
		}
		var shipped struct{ Parameter []struct{ Name string } }
		if err := json.Unmarshal(body, &shipped); err != nil {
			t.Fatal(err)
		}
		filters := 0
		for _, p := range shipped.Parameter {
			if p.Name == "_typeFilter" {
				filters++
			}
		}
		if len(r.Filters) != filters || filters == 0 {
			t.Errorf("%s has %d filters, the request %d", filepath.Base(file), filters, len(r.Filters))
		}
	}
}
