package search

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/testkit/bound"
)

// requireStable fails unless the canonical text of an accepted filter is accepted
// as the same filter with the same plans: that is what a worker relies on.
func requireStable(t interface{ Fatalf(string, ...any) }, c *Compiler, text string, f Filter) {
	for _, since := range []*fhir.Instant{nil, new(fhir.Instant)} {
		export := full
		export.Since = since
		one, err1 := c.ExportFilter(text, export)
		two, err2 := c.ExportFilter(f.Text(), export)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q is accepted, but with _since %v the errors are %v, %v", text, since, err1, err2)
		}
		if diff := cmp.Diff(one.Plan, two.Plan, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q has two plans:\n%s", text, diff)
		}
		if visible := visibleNodes(one.Plan) > 0; since != nil && visible {
			t.Fatalf("%q: the plan of a delta asks for visibility:\n%s", text, one.Plan)
		}
	}
}

// visibleNodes counts the conditions on visibility.
func visibleNodes(p plan.Plan) (n int) {
	root, _ := p.Root.(plan.And)
	for _, node := range root {
		switch node.(type) {
		case plan.Visible, plan.AllVisible:
			n++
		}
	}
	return n
}

// TestRandomFilters puts random values under all parameters of a type. Whatever
// is accepted is stable, and each criterion of the client leaves its mark: the
// plan has one node for each.
func TestRandomFilters(t *testing.T) {
	c := compiler(t)
	values := []string{"a", "Balmain", "true", "false", "inactive", "2026", "ge2026-03-01", "Organization/1", "s|c", `a\,b`, "x,y", "", "%26", "Zo%C3%AB", "1 2"}
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(fhir.Types()).Draw(t, "type")
		params := c.reg.Params(typ)
		var criteria []string
		for range rapid.IntRange(1, 4).Draw(t, "criteria") {
			p := params[rapid.IntRange(0, len(params)-1).Draw(t, "param")]
			criteria = append(criteria, p.Code+"="+rapid.SampledFrom(values).Draw(t, "value"))
		}
		text := typ.String() + "?" + strings.Join(criteria, "&")
		f, err := c.ExportFilter(text, full)
		if err != nil {
			if issues, ok := fhir.AsIssues(err); !ok || len(issues) == 0 {
				t.Fatalf("the error is not a list of issues: %v", err)
			}
			return
		}
		requireStable(t, c, text, f)
		nodes := len(f.Plan.Root.(plan.And)) - visibleNodes(f.Plan)
		if nodes != len(criteria) {
			t.Fatalf("%s has %d criteria, its plan %d nodes:\n%s", f.Text(), len(criteria), nodes, f.Plan)
		}
	})
}

// TestEveryParameterHasAPlan checks that a parameter of a known type needs only data: each
// parameter of the definitions can be searched by, except the restricted ones.
func TestEveryParameterHasAPlan(t *testing.T) {
	c := compiler(t)
	value := map[string]string{"date": "2026", "reference": "a", "token": "true", "string": "a", "uri": "a", "number": "830", "special": "-33.8|151.2|1"}
	for _, typ := range fhir.Types() {
		for _, p := range c.reg.Params(typ) {
			text := typ.String() + "?_lastUpdated=ge1900&" + p.Code + "=" + value[string(p.Type)]
			_, err := c.ExportFilter(text, full)
			if refused := err != nil; refused != (p.Restricted != "") {
				t.Errorf("%s: %v; restricted is %q", text, err, p.Restricted)
			}
		}
	}
}

// TestGuideExamples reads the filters of the guide's own export requests: each is
// accepted.
func TestGuideExamples(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/ig-examples/Parameters-*.json")
	if len(files) == 0 {
		t.Skip("the guide's examples are not beside the project: nothing to read")
	}
	c := compiler(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var request struct {
			Parameter []struct{ Name, ValueString string }
		}
		if err := json.Unmarshal(text, &request); err != nil {
			t.Fatal(err)
		}
		for _, p := range request.Parameter {
			if p.Name != "_typeFilter" {
				continue
			}
			f, err := c.ExportFilter(p.ValueString, full)
			if err != nil {
				t.Errorf("%s is refused: %v", p.ValueString, err)
				continue
			}
			requireStable(t, c, p.ValueString, f)
		}
	}
}

func FuzzExportFilter(f *testing.F) {
	for _, text := range []string{
		"Organization?name=Aged%20Care&address-state=QLD&active=true,false",
		"Practitioner?identifier=http://ns.electronichealth.net.au/id/hi/hpii/1.0|8003611566682112",
		"PractitionerRole?_lastUpdated=ap2026-03-01T00:00:00 10:00&location=Location/a&suppressed=true",
		"Provenance?target.resolve().as(Organization)&target=a,Location/b",
		"HealthcareService?type=http://snomed.info/sct|1&organization.name=a&_has:Provenance:target:agent=b",
	} {
		f.Add(text)
	}
	c := compiler(f)
	limits := bound.Limits{Base: 16 << 20, PerByte: 64 << 10}
	f.Fuzz(func(t *testing.T, text string) {
		limits.Run(t, len(text), func() {
			filter, err := c.ExportFilter(text, full)
			if err == nil {
				requireStable(t, c, text, filter)
				return
			}
			if issues, ok := fhir.AsIssues(err); !ok || len(issues) == 0 {
				t.Fatalf("the error is not a list of issues: %v", err)
			}
		})
	})
}

// TestEquivalentTexts: two ways to write the same thing end in one plan.
func TestEquivalentTexts(t *testing.T) {
	c := compiler(t)
	for _, pair := range [][2]string{
		{"Location?_lastUpdated=ge2020-01-01T00:00:00+10:00", "Location?_lastUpdated=ge2020-01-01T00:00:00%2B10:00"},
		{"Location?_lastUpdated=ge2020-01-01T00:00:00+10:00", "Location?_lastUpdated=ge2020-01-01T00:00:00 10:00"},
		{"HealthcareService?type=1", "HealthcareService?service-type=1"},
		{"HealthcareService?service-type=http://snomed.info/sct/32506021000036107|1", "HealthcareService?service-type=http%3A%2F%2Fsnomed.info%2Fsct%7C1"},
		{"Provenance?agent.who=Organization/a", "Provenance?agent=Organization/a"},
		{"Organization?partOf=a", "Organization?partof=a"},
		{"Location?partOf=a", "Location?partof=a"},
		{"Location?_lastUpdated=ge1900&_profile=http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-location%7C0.3.0", "Location?_lastUpdated=ge1900&_profile=http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-location"},
		{"Location?locationamenities=WheelchairAccess", "Location?locationamenities=wheelchairAccess"},
		{"Endpoint?payloadmimetype=application/fhir json", "Endpoint?payloadmimetype=application%2Ffhir%2Bjson"},
		{"Endpoint?connection-type=http://terminology.hl7.org.au/CodeSystem/endpoint-connection-type|secure-messaging", "Endpoint?connection-type=http://terminology.hl7.org/CodeSystem/endpoint-connection-type|secure-messaging"},
		{"Endpoint?identifier=http://digitalhealth.gov.au/fhir/hcpd/id/hc-local-identifier|1", "Endpoint?identifier=http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier|1"},
		{"HealthcareService?hsbilling=http://terminology.hl7.org.au/CodeSystem/service-provision-conditions|BBO", "HealthcareService?hsbilling=http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs|BB"},
		{"HealthcareService?hsbilling=BBO", "HealthcareService?hsbilling=BB"},
		{"PractitionerRole?location=a", "PractitionerRole?location=https://directory.example/fhir/Location/a"},
		{"Location?address-city=BALMAIN", "Location?address-city=%20balmain "},
	} {
		var plans [2]plan.Plan
		for i, text := range pair {
			f, err := c.ExportFilter(text, full)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			plans[i] = f.Plan
		}
		if diff := cmp.Diff(plans[0], plans[1]); diff != "" {
			t.Errorf("%s and %s differ:\n%s", pair[0], pair[1], diff)
		}
	}
}

func BenchmarkExportFilter(b *testing.B) {
	c := compiler(b)
	for b.Loop() {
		if _, err := c.ExportFilter("PractitionerRole?location=l1,l2&organization=Organization/o1&_lastUpdated=ge2026-01-01&active=true", full); err != nil {
			b.Fatal(err)
		}
	}
}
