package index_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/testkit/golden"
)

const baseURL = "http://directory.example/fhir"

// TestExtract runs the cases of testdata/*.txt; testdata/README.md explains the
// format.
func TestExtract(t *testing.T) {
	reg, extractor := load(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := answer(t, reg, extractor, string(before))
			golden.Check(t, file, after)
		})
	}
}

// TestExtractCoversEveryParameter holds the cases to the definitions: each indexed
// parameter of each type gives an entry somewhere in testdata.
func TestExtractCoversEveryParameter(t *testing.T) {
	reg, extractor := load(t)
	seen := map[int]bool{}
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		cases, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(cases)) {
			if !strings.HasPrefix(line, "{") {
				continue
			}
			for _, e := range extract(t, extractor, line) {
				seen[e.Param] = true
			}
		}
	}
	for _, rt := range reg.Types() {
		for _, p := range reg.Params(rt) {
			if seen[p.ID] != p.Indexed() {
				t.Errorf("%s?%s: entries in testdata: %v, indexed: %v", rt, p.Code, seen[p.ID], p.Indexed())
			}
			if p.Marker != 0 && !seen[p.Marker] {
				t.Errorf("%s?%s: nothing in testdata marks what :missing asks for", rt, p.Code)
			}
			if p.Parts != 0 && !seen[p.Parts] {
				t.Errorf("%s?%s: no family name in testdata has parts", rt, p.Code)
			}
		}
	}
}

// TestExtractExamples runs over the examples of the guide, which the project does
// not contain.
func TestExtractExamples(t *testing.T) {
	files, _ := filepath.Glob("../../../../shared/data/ig-examples/*.json")
	if len(files) == 0 {
		t.Skip("the examples of the guide are not there: put them into ../shared/data/ig-examples beside the project")
	}
	reg, extractor := load(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v := fastjson.MustParseBytes(text)
		rt, ok := fhir.ParseType(string(v.GetStringBytes("resourceType")))
		if !ok {
			continue // Parameters
		}
		entries := extractor.Extract(nil, rt, v)
		if len(entries) == 0 {
			t.Errorf("%s: no entries", filepath.Base(file))
		}
		for _, e := range entries {
			p := params(reg)[e.Param]
			if p.Base != rt || p.Restricted != "" {
				t.Errorf("%s: entry of %s?%s", filepath.Base(file), p.Base, p.Code)
			}
		}
	}
}

// TestExtractExamplesAnswerTheGuide: the entries of the guide's examples that the
// queries printed beside them ask for. parameter: entry of the file.
func TestExtractExamplesAnswerTheGuide(t *testing.T) {
	const folder = "../../../../shared/data/ig-examples/"
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the examples of the guide are not there: put them into ../shared/data/ig-examples beside the project")
	}
	reg, extractor := load(t)
	byID := params(reg)
	for file, wanted := range map[string][]string{
		"Endpoint-example-hcpd-endpoint-smd": {
			"hcepi: token http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier|EP001234567890", "hcepi: token http://ns.electronichealth.net.au/id/source/nhsd|EP-NHSD-001234567890",
			"payloadmimetype: token |application/fhir+json", "connection-type: token http://terminology.hl7.org/CodeSystem/endpoint-connection-type|secure-messaging",
			"epurl: uri https://example.org/smd-sydneyhospital/secure-messaging/endpoint", "_source: uri http://ns.electronichealth.net.au/id/source/pca",
			"suppressed: token |true", "suppressed: token http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type|organisation-initiated", "status: token |off",
		},
		"Location-example-healthconnect-medical-centre-location-1": {
			"near: location -33.8688 151.2093", "locmailaddress: string po box 456 (PO Box 456)", "locmailaddress: string sydney (SYDNEY)",
			"locationamenities: token https://healthterminologies.gov.au/fhir/CodeSystem/facility-amenity-1|wheelchairaccess",
			"locationphysicaltype: token http://terminology.hl7.org/CodeSystem/location-physical-type|bu", "address: string 147 153 castlereagh street (147-153 Castlereagh Street)",
			"name: string central medical centre (Central Medical Centre)", "organization: reference Organization/example-healthconnect-organization-1", "status: token |inactive",
		},
		"Location-example-healthconnect-mobile-healthcare-unit-1": {"type: token http://terminology.hl7.org/CodeSystem/v3-RoleCode|MOBL", "suppressed: token |false"},
		"HealthcareService-example-healthconnect-healthcareservice-1": {
			"service-type: token http://snomed.info/sct|1584801000168109", "languages: token urn:ietf:bcp:47|it", "languages: token urn:ietf:bcp:47|zh",
			"hsbilling: token http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs|FAP", "starttime: number 800", "endtime: number 1730",
			"daysofweek: token |mon", "allday: token |false", "coverage-area: reference Location/example-healthconnect-mobile-unit-coverage-area-1", "endpoint: reference Endpoint/example-hcpd-endpoint-smd",
		},
		"PractitionerRole-example-healthconnect-practitionerrole-1": {
			"role: token http://snomed.info/sct|61207006", "languages: token urn:ietf:bcp:47|it", "starttime: number 700", "starttime: number 1000", "endtime: number 1300",
			"identifier: token http://ns.electronichealth.net.au/id/medicare-provider-number|2426621B", "service: reference HealthcareService/example-healthconnect-healthcareservice-1",
			"date: date 2022-12-31T13:00:00.000Z to forever", "phone: token |0255507777",
		},
		"Practitioner-external-hcpd-practitioner-record": {
			"rsg: token http://hl7.org/fhir/administrative-gender|male", "regprof: string clinical hypnotherapist (Clinical Hypnotherapist)", "regprof: string pathologist (Pathologist)",
			"identifier-r5: token http://example.org/fhir/identifier/acha-prn|PRN-123456", "identifier-r5: token http://ns.electronichealth.net.au/id/hi/hpii/1.0|8003616566719020",
			"communication: token urn:ietf:bcp:47|it", "given: string john (John)", "active: token |false", "suppressed: token http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type|practitioner-initiated",
		},
		"Provenance-provenance-practitioner-name-update": {
			"target: reference Practitioner/example-healthconnect-practitioner-1", "agent: reference Organization/example-healthconnect-organization-1",
			"agent-role: token http://terminology.hl7.org/CodeSystem/contractsignertypecodes|AMENDER", "agent-type: token http://terminology.hl7.org/CodeSystem/provenance-participant-type|author",
			"entity: reference Practitioner/external-hcpd-practitioner-record", "recorded: date 2025-09-15T04:30:15.123Z to 2025-09-15T04:30:15.124Z",
		},
	} {
		text, err := os.ReadFile(folder + file + ".json")
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		var got []string
		for _, e := range extract(t, extractor, string(text)) {
			got = append(got, byID[e.Param].Code+": "+describe(e))
		}
		for _, want := range wanted {
			if !slices.Contains(got, want) {
				t.Errorf("%s lacks %q; it has\n%s", file, want, strings.Join(got, "\n"))
			}
		}
		if file == "Practitioner-external-hcpd-practitioner-record" && slices.ContainsFunc(got, func(e string) bool { return strings.HasPrefix(e, "identifier: ") && strings.Contains(e, "PRN") }) {
			t.Errorf("%s: identifier sees registrations", file)
		}
	}
}

// TestExtractAppends checks that entries go behind those of another resource, and
// that duplicates are looked for within one resource only.
func TestExtractAppends(t *testing.T) {
	_, extractor := load(t)
	const resource = `{"resourceType":"Endpoint","id":"e","name":"A","status":"active"}`
	once := extract(t, extractor, resource)
	twice := extractor.Extract(append([]index.Entry(nil), once...), fhir.Endpoint, fastjson.MustParse(resource))
	if diff := cmp.Diff(append(append([]index.Entry(nil), once...), once...), twice); diff != "" {
		t.Errorf("entries of two resources (-want +got):\n%s", diff)
	}
}

// TestExtractTogether lets goroutines share one extractor, each with a parse of its
// own; the race detector watches.
func TestExtractTogether(t *testing.T) {
	_, extractor := load(t)
	const resource = `{"resourceType":"Organization","id":"o","name":"Café","identifier":[{"value":"1"}],"address":[{"city":"X"}]}`
	want := extract(t, extractor, resource)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				got := extractor.Extract(nil, fhir.Organization, fastjson.MustParse(resource))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
	group.Wait()
}

func TestNewExtractorRefuses(t *testing.T) {
	good := conformance.Param{ID: 1, Code: "name", Type: conformance.String, Base: fhir.Endpoint, Element: "string", Expression: "Endpoint.name", Role: conformance.Substantive}
	for name, c := range map[string]struct {
		change func(*conformance.Param)
		want   string
	}{
		"expression": {func(p *conformance.Param) { p.Expression = "Endpoint.name[0]" }, "search parameter Endpoint?name: expression"},
		"data type":  {func(p *conformance.Param) { p.Element = "Money" }, `elements of type "Money"`},
		"spelling":   {func(p *conformance.Param) { p.Spelling = "magic" }, `no spelling "magic"`},
		"native":     {func(p *conformance.Param) { p.Native = "magic" }, `no native rule "magic"`},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			c.change(&p)
			reg, err := conformance.NewRegistry([]conformance.Param{p}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := index.NewExtractor(reg, baseURL); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

// FuzzExtract gives any JSON to the extractor, as a resource of any type. The extractor must
// not fail, entries must have the form of the tables, and none may occur twice.
func FuzzExtract(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		cases, _ := os.ReadFile(file)
		for line := range strings.Lines(string(cases)) {
			if strings.HasPrefix(line, "{") {
				f.Add(strings.TrimSpace(line))
			}
		}
	}
	f.Add(`{"resourceType":"Organization","meta":{"profile":["|","|1"]}}`)
	reg, extractor := load(f)
	byID := params(reg)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := fastjson.Parse(text)
		if err != nil {
			return
		}
		for _, rt := range fhir.Types() {
			entries := extractor.Extract(nil, rt, v)
			seen := map[index.Entry]bool{}
			for _, e := range entries {
				p := byID[e.Param]
				if p.Base != rt || !p.Indexed() || seen[e] {
					t.Fatalf("entry %s of %s?%s (seen before: %v)", describe(e), p.Base, p.Code, seen[e])
				}
				seen[e] = true
				if p.Type == conformance.Token && e.Kind == index.String {
					if !slices.ContainsFunc(entries, func(o index.Entry) bool {
						return o.Kind == index.Token && index.TokenText(o.Param, o.System, o.Code) == e
					}) {
						t.Fatalf("entry %s belongs to no token", describe(e))
					}
					continue
				}
				switch part := e.Param == p.Parts; {
				case e.Kind != index.String:
				case part && (e.Norm == "" || e.Exact != ""), !part && (strings.TrimSpace(e.Exact) == "" || index.Short(index.Fold(e.Exact)) != e.Norm && len(e.Exact) < 900), index.Fold(e.Norm) != e.Norm && len(e.Norm) < 900:
					t.Fatalf("entry %q is not folded %q", e.Norm, e.Exact)
				}
				switch e.Kind {
				case index.Token, index.Reference, index.URI:
					unfollowed := e.Kind == index.Token && p.Type == conformance.Reference // of a reference that leads nowhere
					if e.Code == "" && (e.Kind != index.Token || e.System == "" && !unfollowed) || index.System(e.System) != e.System || index.Spell(p, e.Code) != e.Code && e.Param != p.Marker {
						t.Fatalf("entry without a value, or not as questions spell it: %+v", e)
					}
				case index.Number:
					if e.Number < 0 || e.Number > 2359 || e.Number%100 > 59 {
						t.Fatalf("%d is not a time of day", e.Number)
					}
				case index.Location:
					if !(math.Abs(e.Position.Latitude) <= 90 && math.Abs(e.Position.Longitude) <= 180) {
						t.Fatalf("%v is not on the earth", e.Position)
					}
				}
			}
		}
	})
}

// TestValueForms runs the data types that no parameter of the definitions uses yet.
func TestValueForms(t *testing.T) {
	cases := []struct {
		kind          conformance.ParamType
		element, text string
		want          []string
	}{
		{conformance.Token, "Coding", `{"system":"s","code":"c"}`, []string{`token s|c`}},
		{conformance.Token, "Coding", `{"system":"s"}`, []string{`token s|`}},
		{conformance.Token, "ContactPoint", `{"system":"phone","value":"02 1234"}`, []string{`token |02 1234`}},
		{conformance.Token, "uri", `"http://x"`, []string{`token |http://x`}},
		{conformance.Token, "id", `"x1"`, []string{`token |x1`}},
		{conformance.Token, "code", `["a","b","a"]`, []string{`token |a`, `token |b`}},
		{conformance.String, "Address", `{"line":["1 High St","Unit 2"],"text":"all","city":"C","district":"D","state":"S","postalCode":"2000","country":"AU","use":"home"}`,
			[]string{"string 1 high st (1 High St)", "string unit 2 (Unit 2)", "string all (all)", "string c (C)", "string d (D)", "string s (S)", "string 2000 (2000)", "string au (AU)"}},
		{conformance.Date, "date", `"2026-02"`, []string{"date 2026-01-31T13:00:00.000Z to 2026-02-28T13:00:00.000Z"}},
		{conformance.Date, "dateTime", `"2026-02-03T10:00:00+10:00"`, []string{"date 2026-02-03T00:00:00.000Z to 2026-02-03T00:00:01.000Z"}},
		{conformance.Date, "instant", `"2026-02-03T10:00:00.5Z"`, []string{"date 2026-02-03T10:00:00.500Z to 2026-02-03T10:00:00.501Z"}},
		{conformance.Date, "date", `"yesterday"`, nil},
		{conformance.Date, "Period", `{"start":"2026","end":"2026-06-30"}`, []string{"date 2025-12-31T13:00:00.000Z to 2026-06-30T14:00:00.000Z"}},
		{conformance.Date, "Period", `{"start":"2026"}`, []string{"date 2025-12-31T13:00:00.000Z to forever"}},
		{conformance.Date, "Period", `{"end":"2026"}`, []string{"date always to 2026-12-31T13:00:00.000Z"}},
		{conformance.Date, "Period", `{"start":"soon"}`, nil},
		{conformance.Date, "Period", `{}`, nil},
		{conformance.String, "string", `["St. Vincent’s"," ","-","–"]`, []string{"string st vincents (St. Vincent’s)", "string  (-)", "string  (–)"}},
		{conformance.URI, "url", `"http://X/y"`, []string{"uri http://X/y"}},
		{conformance.URI, "uri", `""`, nil},
		{conformance.URI, "canonical", `5`, nil},
	}
	for _, c := range cases {
		t.Run(c.element+" "+c.text, func(t *testing.T) {
			reg, err := conformance.NewRegistry([]conformance.Param{{ID: 7, Code: "x", Type: c.kind, Base: fhir.Endpoint, Element: c.element, Expression: "Endpoint.x", Role: conformance.Substantive}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			extractor, err := index.NewExtractor(reg, baseURL)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range extract(t, extractor, `{"resourceType":"Endpoint","x":`+c.text+`}`) {
				got = append(got, describe(e))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func load(t testing.TB) (*conformance.Registry, *index.Extractor) {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	extractor, err := index.NewExtractor(reg, baseURL)
	if err != nil {
		t.Fatal(err)
	}
	return reg, extractor
}

func extract(t *testing.T, extractor *index.Extractor, resource string) []index.Entry {
	t.Helper()
	if !json.Valid([]byte(resource)) {
		t.Fatalf("not JSON: %s", resource)
	}
	v := fastjson.MustParse(resource)
	rt, ok := fhir.ParseType(string(v.GetStringBytes("resourceType")))
	if !ok {
		t.Fatalf("not a resource of the directory: %s", resource)
	}
	return extractor.Extract(nil, rt, v)
}

func params(reg *conformance.Registry) map[int]conformance.Param {
	byID := map[int]conformance.Param{}
	for _, rt := range reg.Types() {
		for _, p := range reg.Params(rt) {
			byID[p.ID] = p
			if p.Marker != 0 {
				marker := p
				marker.Code += ":missing"
				byID[p.Marker] = marker
			}
			if p.Parts != 0 {
				part := p
				part.Code += " part"
				byID[p.Parts] = part
			}
		}
	}
	return byID
}

// answer repeats the resources of a case file with fresh entries.
func answer(t *testing.T, reg *conformance.Registry, extractor *index.Extractor, cases string) string {
	t.Helper()
	byID := params(reg)
	var out strings.Builder
	for line := range strings.Lines(cases) {
		if strings.HasPrefix(line, "= ") {
			continue
		}
		out.WriteString(line)
		if strings.HasPrefix(line, "{") {
			for _, e := range extract(t, extractor, line) {
				fmt.Fprintf(&out, "= %s: %s\n", byID[e.Param].Code, describe(e))
			}
		}
	}
	return out.String()
}

// describe writes an entry for people.
func describe(e index.Entry) string {
	switch e.Kind {
	case index.Token:
		return fmt.Sprintf("token %s|%s", e.System, e.Code)
	case index.String:
		return fmt.Sprintf("string %s (%s)", e.Norm, e.Exact)
	case index.Date:
		return fmt.Sprintf("date %s to %s", moment(e.Period.From), moment(e.Period.To))
	case index.Reference:
		return fmt.Sprintf("reference %s/%s", e.System, e.Code)
	case index.URI:
		return "uri " + e.Code
	case index.Number:
		return fmt.Sprintf("number %d", e.Number)
	case index.Location:
		return fmt.Sprintf("location %v %v", e.Position.Latitude, e.Position.Longitude)
	}
	return "unknown kind"
}

func moment(m fhir.Instant) string {
	switch m {
	case -1 << 63:
		return "always"
	case 1<<63 - 1:
		return "forever"
	}
	return m.String()
}
