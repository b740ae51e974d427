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

// TestFiltersForSomeTypesOnly checks that the guide's second example is refused: it
// requests seven types, but has filters for only five of them. The error must name the
// other two.
func TestFiltersForSomeTypesOnly(t *testing.T) {
	t.Attr("requirements", "KO-26 KO-29")
	body := `{"resourceType":"Parameters","parameter":[{"name":"_outputFormat","valueString":"application/fhir+ndjson"},` +
		`{"name":"_type","valueString":"Organization,Location,HealthcareService,Practitioner,PractitionerRole,Endpoint,Provenance"},` +
		`{"name":"_typeFilter","valueString":"HealthcareService?location.address-city=Balmain"},` +
		`{"name":"_typeFilter","valueString":"Location?address-city=Balmain"},` +
		`{"name":"_typeFilter","valueString":"Organization?_has:HealthcareService:organization:service-type=789718008"},` +
		`{"name":"_typeFilter","valueString":"PractitionerRole?location.address-city=Balmain"},` +
		`{"name":"_typeFilter","valueString":"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain"}]}`
	_, err := export.ParseRequest([]byte(body), compiler(t), export.DefaultRules(), policy.FullAccess())
	issues, _ := fhir.AsIssues(err)
	text := ""
	for _, i := range issues {
		text += string(i.Code) + " " + i.Diagnostics + "\n"
	}
	for _, want := range []string{"invalid", "Endpoint", "Provenance"} {
		if !strings.Contains(text, want) {
			t.Errorf("the error does not contain %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Location?") || strings.Contains(text, "Practitioner?") {
		t.Errorf("the error names valid filters:\n%s", text)
	}
}

// TestShippedRequests checks that the two export requests published with the guide are
// accepted unchanged.
func TestShippedRequests(t *testing.T) {
	t.Attr("requirements", "KO-30 KO-35")
	files, _ := filepath.Glob("../../../shared/data/ig-examples/Parameters-*.json")
	if len(files) == 0 {
		t.Skip("the guide's examples are not available next to the project")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := export.ParseRequest(body, compiler(t), export.DefaultRules(), policy.FullAccess())
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
