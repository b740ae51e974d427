package export

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"
	"muster/internal/strictjson"
	"muster/internal/testkit/bound"

	"github.com/google/go-cmp/cmp"
)

const testBase = "http://localhost:8080/fhir"

func newCompiler(t testing.TB) *search.Compiler {
	t.Helper()
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return search.New(registry, testBase, time.UTC)
}

// body returns a Parameters resource with the entries, such as "_type=Practitioner". The values
// are valueString, or valueInstant for _since; "_since:Date=2026-01-01" gives a valueDate.
func body(entries ...string) string {
	var parameters []string
	for _, e := range entries {
		name, value, _ := strings.Cut(e, "=")
		name, kind, _ := strings.Cut(name, ":")
		switch {
		case kind != "":
		case name == since:
			kind = "Instant"
		default:
			kind = "String"
		}
		quoted, _ := json.Marshal(value)
		parameters = append(parameters, fmt.Sprintf(`{"name":%q,"value%s":%s}`, name, kind, quoted))
	}
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(parameters, ",") + `]}`
}

// kickOff writes a body with the output format that every request has.
func kickOff(entries ...string) string {
	return body(append([]string{"_outputFormat=application/fhir+ndjson"}, entries...)...)
}

func TestParseRequest(t *testing.T) {
	c := newCompiler(t)
	const all = "Practitioner?_lastUpdated=ge1900-01-01"
	for name, test := range map[string]struct {
		req     string
		body    string
		types   string
		since   string
		filters string // canonical, joined by " ; "; not compared when empty
	}{
		"one type":            {"KO-10 KO-13", kickOff("_type=Practitioner", "_typeFilter="+all), "Practitioner", "", all},
		"format in any case":  {"KO-20", body("_outputFormat=Application/FHIR+NDJSON", "_type=Practitioner", "_typeFilter="+all), "Practitioner", "", ""},
		"comma list":          {"KO-21", kickOff("_type=Practitioner , Organization", "_typeFilter=Organization?name=x", "_typeFilter="+all), "Practitioner,Organization", "", ""},
		"repeated types":      {"KO-21 KO-22", kickOff("_type=Location", "_type=Practitioner", "_typeFilter="+all, "_typeFilter=Location?address-city=Balmain"), "Location,Practitioner", "", ""},
		"since":               {"KO-23", kickOff("_type=Practitioner", "_typeFilter="+all, "_since=2026-03-01T09:30:00.125+11:00"), "Practitioner", "2026-02-28T22:30:00.125Z", ""},
		"since 1970":          {"VI-10 VI-11 KO-23", kickOff("_type=Practitioner", "_typeFilter="+all, "_since=1970-01-01T00:00:00Z"), "Practitioner", "1970-01-01T00:00:00.000Z", ""},
		"since 1970 and less": {"VI-10 VI-11 KO-23", kickOff("_type=Practitioner", "_typeFilter="+all, "_since=1970-01-01T00:00:00.0009999Z"), "Practitioner", "1970-01-01T00:00:00.000Z", ""},
		"since 1970 in zones": {"VI-10 VI-11 KO-23", kickOff("_type=Practitioner", "_typeFilter="+all, "_since=1970-01-01T10:00:00+10:00"), "Practitioner", "1970-01-01T00:00:00.000Z", ""},
		"since before 1970":   {"VI-10 VI-11 KO-23", kickOff("_type=Practitioner", "_typeFilter="+all, "_since=1900-01-01T00:00:00Z"), "Practitioner", "1900-01-01T00:00:00.000Z", ""},
		"byte order mark":     {"KO-11", "\xef\xbb\xbf" + kickOff("_type=Practitioner", "_typeFilter="+all), "Practitioner", "", all},
		"as deep as it may":   {"KO-11 KO-12", strings.Replace(kickOff("_type=Practitioner", "_typeFilter="+all), `"parameter"`, `"meta":`+strings.Repeat("[", strictjson.MaxDepth-1)+strings.Repeat("]", strictjson.MaxDepth-1)+`,"parameter"`, 1), "Practitioner", "", ""},
		"any order":           {"KO-14", body("_since=2026-03-01T09:30:00Z", "_typeFilter="+all, "_type=Practitioner", "_outputFormat=application/fhir+ndjson"), "Practitioner", "2026-03-01T09:30:00.000Z", ""},
		"all seven":           {"KO-24 KO-39", kickOff(append([]string{"_type=HealthcareService,Organization,Location,PractitionerRole,Practitioner,Provenance,Endpoint"}, filtersForAll()...)...), "HealthcareService,Organization,Location,PractitionerRole,Practitioner,Provenance,Endpoint", "", ""},
		"profile claimed":     {"KO-12", strings.Replace(kickOff("_type=Practitioner", "_typeFilter="+all), `"parameter"`, `"meta":{"profile":["http://example.org/p"]},"id":"x","parameter"`, 1), "Practitioner", "", ""},
		"value repair":        {"KO-35", kickOff("_type=Practitioner", "_typeFilter=Practitioner?_lastUpdated=ge2020-01-01T00:00:00+10:00"), "Practitioner", "", ""},
		"provenance of types": {"KO-30", kickOff("_type=Provenance", "_typeFilter=Provenance?target.resolve().as(Organization)"), "Provenance", "", ""},
	} {
		t.Run(test.req+" "+name, func(t *testing.T) {
			r, err := ParseRequest([]byte(test.body), c, DefaultRules(), policy.FullAccess())
			if err != nil {
				t.Fatalf("%s: %v", test.req, err)
			}
			var types, filters []string
			for _, f := range r.Filters {
				types, filters = append(types, f.Query.Type.String()), append(filters, f.Text())
			}
			if got := strings.Join(types, ","); got != test.types {
				t.Errorf("types %s, want %s", got, test.types)
			}
			if got := strings.Join(filters, " ; "); test.filters != "" && got != test.filters {
				t.Errorf("filters %s, want %s", got, test.filters)
			}
			since := ""
			if r.Since != nil {
				since = r.Since.String()
			}
			if since != test.since {
				t.Errorf("since %q, want %q", since, test.since)
			}
			// What the job row keeps is the same request.
			stored, err := r.encode(testBase)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeRequest(stored, c, policy.SuppressedOffered)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r.Since, again.Since); diff != "" {
				t.Errorf("stored as %s, since differs:\n%s", stored, diff)
			}
			restored, err := again.encode(testBase)
			if err != nil || string(restored) != string(stored) {
				t.Errorf("stored as %s, restored as %s, %v", stored, restored, err)
			}
		})
	}
}

func filtersForAll() (filters []string) {
	for _, t := range fhir.Types() {
		filters = append(filters, "_typeFilter="+t.String()+"?_lastUpdated=ge1900-01-01")
	}
	return filters
}

// refusal is an issue in short: code, place and a word of the sentence.
type refusal struct {
	code fhir.Code
	at   string
	says string
}

func TestRefusals(t *testing.T) {
	c := newCompiler(t)
	const all = "_typeFilter=Practitioner?_lastUpdated=ge1900-01-01"
	const ty = "_type=Practitioner"
	entry := func(json string) string {
		return strings.Replace(kickOff(ty, all), `"parameter":[`, `"parameter":[`+json+`,`, 1)
	}
	one := func(code fhir.Code, at, says string) []refusal { return []refusal{{code, at, says}} }
	const invalid, unsupported = fhir.CodeInvalid, fhir.CodeNotSupported
	for name, test := range map[string]struct {
		req  string
		body string
		want []refusal
	}{
		"no body":            {"KO-11", " \n", one(invalid, "", "empty")},
		"not JSON":           {"KO-11", `{"resourceType":"Parameters",`, one(invalid, "", "not JSON")},
		"bad literal":        {"KO-11", `{"resourceType":"Parameters","parameter":[tru]}`, one(invalid, "", "not JSON")},
		"two documents":      {"KO-11", kickOff(ty, all) + kickOff(ty, all), one(invalid, "", "not JSON")},
		"not UTF-8":          {"KO-11", "{\"resourceType\":\"Param\xff\"}", one(invalid, "", "UTF-8")},
		"an array":           {"KO-11", `[]`, one(invalid, "", "JSON array")},
		"another resource":   {"KO-11", `{"resourceType":"Bundle"}`, one(invalid, "", "Bundle")},
		"type not a string":  {"KO-11", `{"resourceType":["Parameters"]}`, one(invalid, "", "resourceType")},
		"deep":               {"KO-11", `{"resourceType":"Parameters","meta":` + strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth) + `}`, one(invalid, "", "nests more than 64 levels of JSON at line 1, character 100.")},
		"a MiB of [":         {"KO-11", strings.Repeat("[", 1<<20), one(invalid, "", "nests more than 64 levels of JSON at line 1, character 65.")},
		"a MiB of {":         {"KO-11", strings.Repeat(`{"a":`, 1<<20/5), one(invalid, "", "nests more than 64 levels of JSON at line 1, character 321.")},
		"deep on a line":     {"KO-11", "[\"é\\\"[\",\n \"ü\"," + strings.Repeat("[", 100), one(invalid, "", "nests more than 64 levels of JSON at line 2, character 69.")},
		"mark alone":         {"KO-11", "\xef\xbb\xbf \n", one(invalid, "", "empty")},
		"two marks":          {"KO-11", "\xef\xbb\xbf\xef\xbb\xbf{}", one(invalid, "", "not JSON")},
		"wrong bracket":      {"KO-11", "{\n \"é\":[}", one(invalid, "", "at line 2, character 7.")},
		"deep duplicate":     {"KO-11", `{"resourceType":"Parameters","meta":{"a":[1,{"b":{"c":1,"c":2}}]},"parameter":[{"name":"_type","valueString":"x"}]}`, one(invalid, "Parameters.meta.a[1].b.c", "twice")},
		"no parameters":      {"KO-13", `{"resourceType":"Parameters"}`, one(invalid, "Parameters.parameter", "no parameters")},
		"empty array":        {"KO-13", `{"resourceType":"Parameters","parameter":[]}`, one(invalid, "Parameters.parameter", "array")},
		"parameter object":   {"KO-13", `{"resourceType":"Parameters","parameter":{"name":"_type"}}`, one(invalid, "Parameters.parameter", "array")},
		"unknown element":    {"KO-10", `{"resourceType":"Parameters","contained":[],"parameter":[{"name":"_type","valueString":"x"}]}`, one(invalid, "Parameters.contained", "no element")},
		"implicit rules":     {"KO-10", `{"resourceType":"Parameters","implicitRules":"x","parameter":[{"name":"_type","valueString":"x"}]}`, one(unsupported, "Parameters.implicitRules", "rules")},
		"duplicate key":      {"KO-11", entry(`{"name":"_since","name":"_type","valueInstant":"2026-01-01T00:00:00Z"}`), one(invalid, "Parameters.parameter[0].name", "twice")},
		"duplicate at root":  {"KO-11", `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"x"}],"parameter":[{"name":"_type","valueString":"x"}]}`, one(invalid, "Parameters.parameter", "twice")},
		"nested part":        {"KO-13", entry(`{"name":"_since","part":[{"name":"a"}]}`), one(invalid, "Parameters.parameter[0].part", "no part")},
		"entry not object":   {"KO-13", entry(`"_since"`), []refusal{{invalid, "Parameters.parameter[0]", "JSON string"}}},
		"two values":         {"KO-13", entry(`{"name":"_since","valueInstant":"2026-01-01T00:00:00Z","valueString":"x"}`), one(invalid, "Parameters.parameter[0].valueString", "two values")},
		"no name":            {"KO-13", entry(`{"valueString":"x"}`), one(invalid, "Parameters.parameter[0].name", "no name")},
		"name not a string":  {"KO-13", entry(`{"name":5,"valueString":"x"}`), one(invalid, "Parameters.parameter[0].name", "no name")},
		"odd member":         {"KO-13", entry(`{"name":"_since","valueInstant":"2026-01-01T00:00:00Z","odd":1}`), one(invalid, "Parameters.parameter[0].odd", "no element")},
		"format missing":     {"KO-20", body(ty, all), one(invalid, "Parameters.parameter", "_outputFormat is missing")},
		"format other":       {"KO-20", body("_outputFormat=ndjson", ty, all), one(invalid, "Parameters.parameter[0].valueString", "ndjson")},
		"format twice":       {"KO-37", kickOff("_outputFormat=application/fhir+ndjson", ty, all), one(invalid, "Parameters.parameter", "2 times")},
		"type missing":       {"KO-21", kickOff(all), one(invalid, "Parameters.parameter", "_type is missing")},
		"filter missing":     {"KO-22", kickOff(ty), one(invalid, "Parameters.parameter", "_typeFilter is missing")},
		"all missing":        {"KO-38", body("_since=2026-01-01T00:00:00Z"), []refusal{{invalid, "Parameters.parameter", "_outputFormat"}, {invalid, "Parameters.parameter", "_type "}, {invalid, "Parameters.parameter", "_typeFilter"}}},
		"type with no text":  {"KO-21", kickOff("_type= ", all), one(invalid, "Parameters.parameter[1].valueString", "empty")},
		"hole in type list":  {"KO-21", kickOff("_type=Practitioner,,Location", all), one(invalid, "Parameters.parameter[1].valueString", "entry 2")},
		"type as code":       {"KO-21", kickOff("_type:Code=Practitioner", all), one(invalid, "Parameters.parameter[1].valueCode", "valueString")},
		"type as number":     {"KO-21", strings.Replace(kickOff(ty, all), `"Practitioner"`, `7`, 1), one(invalid, "Parameters.parameter[1].valueString", "JSON number")},
		"type as null":       {"KO-21", strings.Replace(kickOff(ty, all), `"Practitioner"`, `null`, 1), one(invalid, "Parameters.parameter[1].valueString", "JSON null")},
		"since a date":       {"KO-23", kickOff(ty, all, "_since=2026-01-01"), one(invalid, "Parameters.parameter[3].valueInstant", "not an instant")},
		"since no zone":      {"KO-23", kickOff(ty, all, "_since=2026-01-01T00:00:00"), one(invalid, "Parameters.parameter[3].valueInstant", "not an instant")},
		"since as dateTime":  {"KO-23", kickOff(ty, all, "_since:DateTime=2026-01-01T00:00:00Z"), one(invalid, "Parameters.parameter[3].valueDateTime", "valueInstant")},
		"since as string":    {"KO-23", kickOff(ty, all, "_since:String=2026-01-01T00:00:00Z"), one(invalid, "Parameters.parameter[3].valueString", "valueInstant")},
		"since no value":     {"KO-23", entry(`{"name":"_since"}`), one(invalid, "Parameters.parameter[0]", "no value")},
		"since twice":        {"KO-37", kickOff(ty, all, "_since=2026-01-01T00:00:00Z", "_since=2026-01-01T00:00:00Z"), one(invalid, "Parameters.parameter", "2 times")},
		"unknown parameters": {"KO-36 KO-38", kickOff(ty, all, "_until=x", "patient=y"), []refusal{{unsupported, "Parameters.parameter[3].name", "_until"}, {unsupported, "Parameters.parameter[4].name", "patient"}}},
		"other type":         {"KO-25", kickOff("_type=Patient,Practitioner", all), one(unsupported, "Parameters.parameter[1].valueString", "Patient")},
		"type in lower case": {"KO-25", kickOff("_type=practitioner", all), one(unsupported, "Parameters.parameter[1].valueString", "case-sensitive")},
		"other type filter":  {"KO-25", kickOff(ty, all, "_typeFilter=List?code=x"), one(unsupported, "Parameters.parameter[3].valueString", "List")},
		"403 before 400":     {"KO-25 KO-38", kickOff("_type=Binary,Location", all), one(unsupported, "Parameters.parameter[1].valueString", "Binary")},
		"type unfiltered":    {"KO-26", kickOff("_type=Practitioner,Location,Endpoint", all), []refusal{{invalid, "Parameters.parameter[1].valueString", "Location has no filter"}, {invalid, "Parameters.parameter[1].valueString", "Endpoint has no filter"}}},
		"filter untyped":     {"KO-27", kickOff(ty, all, "_typeFilter=address-city=Balmain"), one(invalid, "Parameters.parameter[3].valueString", "does not begin with a type")},
		"filter of others":   {"KO-27", kickOff(ty, all, "_typeFilter=Location?address-city=Balmain"), one(invalid, "Parameters.parameter[3].valueString", "not listed")},
		"two filters":        {"KO-28 KO-29", kickOff(ty, all, "_typeFilter=Practitioner?family=Smith"), one(invalid, "Parameters.parameter[3].valueString", "more than one")},
		"type twice":         {"KO-29", kickOff("_type=Practitioner,Practitioner", all), one(invalid, "Parameters.parameter[1].valueString", "twice")},
		"not substantive":    {"KO-30", kickOff(ty, "_typeFilter=Practitioner?active=true"), one(invalid, "Parameters.parameter[2].valueString", "")},
		"not with since":     {"KO-31", kickOff(ty, "_typeFilter=Practitioner?active=false", "_since=2026-01-01T00:00:00Z"), one(invalid, "Parameters.parameter[2].valueString", "")},
		"restricted":         {"KO-30", kickOff(ty, "_typeFilter=Practitioner?gender=male&family=Smith"), one(unsupported, "Parameters.parameter[2].valueString", "gender")},
		"include":            {"KO-32", kickOff(ty, "_typeFilter=Practitioner?family=Smith&_include=x"), one(unsupported, "Parameters.parameter[2].valueString", "_include")},
		"result parameter":   {"KO-33", kickOff(ty, "_typeFilter=Practitioner?family=Smith&_count=5"), one(invalid, "Parameters.parameter[2].valueString", "_count")},
		"no query":           {"KO-30", kickOff(ty, "_typeFilter=Practitioner"), one(invalid, "Parameters.parameter[2].valueString", "")},
	} {
		t.Run(test.req+" "+name, func(t *testing.T) {
			_, err := ParseRequest([]byte(test.body), c, DefaultRules(), policy.FullAccess())
			issues, ok := fhir.AsIssues(err)
			if !ok {
				t.Fatalf("%s: error %v, want issues", test.req, err)
			}
			compareIssues(t, issues, test.want)
			for _, i := range issues {
				wants403 := strings.HasPrefix(test.req, "KO-25")
				if (i.Reason == fhir.TypeNotExportable) != wants403 {
					t.Errorf("reason %q of %s", i.Reason, i.Diagnostics)
				}
			}
		})
	}
}

func compareIssues(t *testing.T, issues fhir.Issues, want []refusal) {
	t.Helper()
	var got []refusal
	for n, i := range issues {
		r := refusal{i.Code, i.Expression, i.Diagnostics}
		if n < len(want) && strings.Contains(r.says, want[n].says) {
			r.says = want[n].says
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(refusal{})); diff != "" {
		t.Errorf("issues (-want +got):\n%s", diff)
	}
}

func TestRules(t *testing.T) {
	c := newCompiler(t)
	const all = "_typeFilter=Practitioner?_lastUpdated=ge1900-01-01"
	provenance := kickOff("_type=Provenance", "_typeFilter=Provenance?target.resolve().as(Organization)")
	for name, test := range map[string]struct {
		rules   Rules
		body    string
		refused fhir.Code // empty when accepted
	}{
		"filter missing, lenient":        {Rules{LenientMissingTypeFilter: true}, kickOff("_type=Location,Practitioner", all), ""},
		"all filters missing, lenient":   {Rules{LenientMissingTypeFilter: true}, kickOff("_type=Location,Practitioner"), ""},
		"format missing, compatible":     {Rules{CompatOutputFormat: true}, body("_type=Practitioner", all), ""},
		"format short, compatible":       {Rules{CompatOutputFormat: true}, body("_outputFormat=NDJSON", "_type=Practitioner", all), ""},
		"format other, compatible":       {Rules{CompatOutputFormat: true}, body("_outputFormat=csv", "_type=Practitioner", all), fhir.CodeInvalid},
		"provenance by type":             {Rules{ProvenanceTypeTestFilter: true}, provenance, ""},
		"provenance by type, off":        {Rules{}, provenance, fhir.CodeInvalid},
		"repeated type is never lenient": {Rules{LenientMissingTypeFilter: true}, kickOff("_type=Practitioner,Practitioner"), fhir.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(test.body), c, test.rules, policy.FullAccess())
			if test.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range r.Filters {
					if f.Query.Type == 0 {
						t.Errorf("a filter without a type: %+v", r.Filters)
					}
				}
				return
			}
			issues, _ := fhir.AsIssues(err)
			if len(issues) != 1 || issues[0].Code != test.refused {
				t.Errorf("error %v, want one issue %s", err, test.refused)
			}
		})
	}
}

// TestSinceMakesADelta checks that an export with any _since holds resources in any state.
// Only a request without _since is a full export with the rules of state.
func TestSinceMakesADelta(t *testing.T) {
	t.Attr("req", "VI-10 VI-11 KO-23")
	s := New(Config{Compiler: newCompiler(t)})
	const filter = `"filters":["Practitioner?_lastUpdated=ge1900-01-01"]`
	for _, test := range []struct{ stored, since string }{
		{`{` + filter + `}`, ""},
		{`{` + filter + `,"since":0}`, "1970-01-01T00:00:00.000Z"},
		{`{` + filter + `,"since":-1}`, "1969-12-31T23:59:59.999Z"},
		{`{` + filter + `,"since":1772231400125}`, "2026-02-27T22:30:00.125Z"},
	} {
		request, err := s.request(store.Job{Request: []byte(test.stored)})
		if err != nil {
			t.Fatalf("%s: %v", test.stored, err)
		}
		text := request.Filters[0].Plan.String()
		if delta := strings.Contains(text, "committed after "+test.since); delta != (test.since != "") {
			t.Errorf("%s, delta %v:\n%s", test.stored, delta, text)
		}
		if visible := strings.Contains(text, "visible"); visible != (test.since == "") {
			t.Errorf("%s, visible ones only %v:\n%s", test.stored, visible, text)
		}
	}
}

// Numbers that make no sense stand for the defaults, and none of them panics.
func TestConfigOfNegatives(t *testing.T) {
	c := Config{Workers: -1, PartBytes: -1, JobsPerPrincipal: -1, Retention: -1, Forget: -1, StallAfter: -1, SweepEvery: -1, PollInterval: -1}
	s := New(c)
	if s.PartBytes != 256<<20 || s.JobsPerPrincipal != 0 || s.Retention != 24*time.Hour || s.Forget != 7*24*time.Hour || s.SweepEvery != time.Minute {
		t.Errorf("the configuration became %+v", s.Config)
	}
	if s.engine.Workers != 2 || s.engine.StallAfter != 10*time.Minute || s.engine.Retention != 24*time.Hour {
		t.Errorf("that of the engine became %+v", s.engine.Config)
	}
	if wait := s.seconds(7); wait != 7 {
		t.Errorf("a poll waits %d s, want the 7 that were worked out", wait)
	}
}

// FuzzParseRequest checks that a body never causes a panic. It results either in issues for
// the client or in a request that a job row can store.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(kickOff("_type=Practitioner", "_typeFilter=Practitioner?family=Smith", "_since=2026-01-01T00:00:00Z")))
	f.Add([]byte(kickOff("_type=Practitioner, Location", "_typeFilter=Practitioner?identifier=http://x|1,2", "_typeFilter=Location?address-city=Balmain&status=inactive")))
	f.Add([]byte(kickOff("_type=Provenance", "_typeFilter=Provenance?target.resolve().as(Organization)")))
	f.Add([]byte(`{"resourceType":"Parameters","parameter":[{"name":"_type","part":[{"name":"_type"}]},{},7]}`))
	f.Add([]byte(strings.Repeat("[", 100)))
	f.Add([]byte("\xef\xbb\xbf" + kickOff("_type=Practitioner", "_typeFilter=Practitioner?family=Smith", "_since=1970-01-01T00:00:00Z")))
	c := newCompiler(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, rules := range []Rules{DefaultRules(), {LenientMissingTypeFilter: true, CompatOutputFormat: true}} {
			r, err := ParseRequest(body, c, rules, policy.FullAccess())
			if err != nil {
				issues, ok := fhir.AsIssues(err)
				if !ok {
					t.Fatalf("an error that is no issue: %v", err)
				}
				for _, i := range issues {
					if i.Code == "" || i.Diagnostics == "" {
						t.Fatalf("an empty issue: %+v", i)
					}
				}
				continue
			}
			stored, err := r.encode(testBase)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeRequest(stored, c, policy.SuppressedOffered)
			if err != nil {
				t.Fatalf("what was accepted cannot be read back from %s: %v", stored, err)
			}
			if diff := cmp.Diff(r.Since, again.Since); diff != "" {
				t.Fatalf("since differs:\n%s", diff)
			}
		}
	})
}

// TestStoredFilterKeepsItsBaseURL reads a stored request back on a server with another base
// URL: a reference below the first one is still a reference into the directory.
func TestStoredFilterKeepsItsBaseURL(t *testing.T) {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	first := search.New(registry, "http://first.example/fhir", time.UTC)
	other := search.New(registry, "http://other.example/fhir", time.UTC)
	body := []byte(kickOff("_type=Location", "_typeFilter=Location?organization=http://first.example/fhir/Organization/o"))
	r, err := ParseRequest(body, first, DefaultRules(), policy.FullAccess())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := r.encode("http://first.example/fhir")
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeRequest(stored, other, policy.SuppressedOffered)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Filters[0].Plan.String(), r.Filters[0].Plan.String(); got != want {
		t.Errorf("the plan is\n%s\nwant\n%s", got, want)
	}
	if _, err := ParseRequest(body, other, DefaultRules(), policy.FullAccess()); err == nil {
		t.Error("a new request may refer to the base URL of another server")
	}
}

// TestCostOfMistakes sends bodies of a megabyte that are as full of mistakes as can be.
// Reading them takes no more memory than a few copies of the body.
func TestCostOfMistakes(t *testing.T) {
	t.Attr("requirements", "KO-11")
	c := newCompiler(t)
	limits := bound.Limits{Base: 4 << 20, PerByte: 24}
	const format = `{"name":"_outputFormat","valueString":"application/fhir+ndjson"},`
	for name, inside := range map[string]string{
		"numbers":          `"parameter":[1` + strings.Repeat(",1", 500_000) + `]`,
		"empty parameters": `"parameter":[{}` + strings.Repeat(",{}", 340_000) + `]`,
		"doubles":          `"parameter":[],"a":1` + strings.Repeat(`,"a":1`, 170_000),
		"some doubles":     `"parameter":[],"a":"` + strings.Repeat("x", 900_000) + `"` + strings.Repeat(`,"a":1`, 15_000),
		"members":          `"parameter":[{"name":"x"` + strings.Repeat(`,"b":1`, 170_000) + `}]`,
		"types":            `"parameter":[` + format + `{"name":"_type","valueString":"` + strings.Repeat("x,", 500_000) + `x"},{"name":"_typeFilter","valueString":"a?b"}]`,
		"filters":          `"parameter":[` + format + `{"name":"_type","valueString":"Location"}` + strings.Repeat(`,{"name":"_typeFilter","valueString":"Location?name=x"}`, 19_000) + `]`,
		"long filters":     `"parameter":[` + format + `{"name":"_type","valueString":"Location"}` + strings.Repeat(`,{"name":"_typeFilter","valueString":"Location?name=`+strings.Repeat("x,", 5000)+`x"}`, 90) + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(`{"resourceType":"Parameters",` + inside + `}`)
			limits.Run(t, len(body), func() {
				_, err := ParseRequest(body, c, DefaultRules(), policy.FullAccess())
				if issues, ok := fhir.AsIssues(err); !ok || len(issues) == 0 || len(issues) > maxIssues+maxParameters {
					t.Errorf("%d issues, %v", len(issues), err)
				}
			})
		})
	}
}
