package conformance

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/internal/fhir"
	"muster/internal/testkit/golden"
)

func load(t testing.TB) *Registry {
	t.Helper()
	reg, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// TestParams lists what each type has; "!" marks restricted parameters (SR-30) and
// "~" state parameters (SR-12).
func TestParams(t *testing.T) {
	want := map[fhir.Type]string{
		fhir.Organization:      "_id _lastUpdated _profile _security _source _tag ~active address address-city address-country address-postalcode address-state address-use endpoint identifier name partof ~suppressed type",
		fhir.Location:          "_id _lastUpdated _profile _security _source _tag address address-city address-country address-postalcode address-state address-use endpoint identifier locationamenities locationphysicaltype locmailaddress name near operational-status organization partof ~status ~suppressed type",
		fhir.Endpoint:          "_id _lastUpdated _profile _security _source _tag connection-type epurl hcepi identifier name organization payload-type payloadmimetype ~status ~suppressed",
		fhir.HealthcareService: "_id _lastUpdated _profile _security _source _tag ~active allday characteristic coverage-area daysofweek endpoint endtime hsbilling identifier languages location name organization program service-category service-type specialty starttime ~suppressed",
		fhir.Practitioner:      "_id _lastUpdated _profile _security _source _tag ~active !address !address-city !address-country !address-postalcode !address-state !address-use communication email family !gender !gender-identity given identifier identifier-r5 name phone regprof rsg ~suppressed telecom",
		fhir.PractitionerRole:  "_id _lastUpdated _profile _security _source _tag ~active allday date daysofweek email endpoint endtime !gender-identity identifier languages location organization phone practitioner role service specialty starttime ~suppressed telecom",
		fhir.Provenance:        "_id _lastUpdated _profile _security _source _tag agent agent-role agent-type entity location recorded signature-type target when",
	}
	reg := load(t)
	if diff := cmp.Diff(fhir.Types(), reg.Types()); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	for _, rt := range fhir.Types() {
		var got []string
		for _, p := range reg.Params(rt) {
			mark := ""
			switch {
			case p.Restricted != "":
				mark = "!"
			case p.Role == State:
				mark = "~"
			}
			got = append(got, mark+p.Code)
			if p.Base != rt {
				t.Errorf("%s?%s has base %s", rt, p.Code, p.Base)
			}
			if found, ok := reg.Param(rt, p.Code); !ok || !cmp.Equal(found, p) {
				t.Errorf("%s?%s is listed but found as %+v", rt, p.Code, found)
			}
		}
		if diff := cmp.Diff(want[rt], strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", rt, diff)
		}
	}
}

func TestParamAnswers(t *testing.T) {
	reg := load(t)
	for _, c := range []struct {
		base  fhir.Type
		code  string
		want  string // the code found, or empty
		point string
	}{
		{fhir.HealthcareService, "service-type", "service-type", "by its code"},
		{fhir.HealthcareService, "type", "service-type", "by its alias"},
		{fhir.Practitioner, "type", "", "an alias belongs to its type alone"},
		{fhir.Provenance, "agent.who", "agent", "an alias may hold a dot"},
		{fhir.Organization, "partOf", "partof", "as the element is spelled"},
		{fhir.Location, "near", "near", "the only special parameter"},
		{fhir.Organization, "phonetic", "", "how names sound is not indexed"},
		{fhir.Provenance, "patient", "", "no patient is in the directory"},
		{fhir.Organization, "_has", "", "not a parameter with a definition"},
		{fhir.Organization, "Name", "", "codes are case-sensitive"},
		{fhir.Provenance, "suppressed", "", "Provenance has no state"},
		{0, "_id", "", "no type"},
	} {
		p, ok := reg.Param(c.base, c.code)
		if p.Code != c.want || ok != (c.want != "") {
			t.Errorf("%s?%s (%s): found %q, %v, want %q", c.base, c.code, c.point, p.Code, ok, c.want)
		}
	}
	if p, _ := reg.Param(fhir.Practitioner, "gender"); !strings.Contains(p.Restricted, "rsg") {
		t.Errorf("gender is restricted with %q, which does not point to rsg (SR-31)", p.Restricted)
	}
	if got := reg.Aliases(fhir.HealthcareService, "service-type"); !slices.Equal(got, []string{"type"}) {
		t.Errorf("aliases of service-type: %v", got)
	}
}

// TestParamsIsACopy checks that a caller cannot change the registry.
func TestParamsIsACopy(t *testing.T) {
	reg := load(t)
	reg.Params(fhir.Endpoint)[0].Code = "changed"
	if reg.Params(fhir.Endpoint)[0].Code == "changed" {
		t.Error("changing the list changed the registry")
	}
}

func TestNewRegistryRefuses(t *testing.T) {
	good := Param{ID: 1, Code: "name", Type: String, Base: fhir.Endpoint, Role: Substantive}
	with := func(change func(*Param)) Param { p := good; change(&p); return p }
	for name, c := range map[string]struct {
		params  []Param
		aliases map[fhir.Type]map[string]string
		want    string
	}{
		"no id":        {[]Param{with(func(p *Param) { p.ID = 0 })}, nil, "Endpoint?name: id 0"},
		"no code":      {[]Param{with(func(p *Param) { p.Code = "" })}, nil, "has no code"},
		"no base":      {[]Param{with(func(p *Param) { p.Base = 0 })}, nil, "not a type of the directory"},
		"type":         {[]Param{with(func(p *Param) { p.Type = "quantity" })}, nil, `type "quantity" is not supported`},
		"role":         {[]Param{with(func(p *Param) { p.Role = "" })}, nil, `role "" is unknown`},
		"target":       {[]Param{with(func(p *Param) { p.Type = Reference })}, nil, "target types"},
		"marker":       {[]Param{with(func(p *Param) { p.Marker = 2 })}, nil, "marks"},
		"marker taken": {[]Param{with(func(p *Param) { p.Marker, p.Marks = 1, MarksAbsent })}, nil, "id 1 belongs to Endpoint?name"},
		"parts":        {[]Param{with(func(p *Param) { p.Type, p.Parts = Token, 2 })}, nil, "only a string has parts"},
		"parts taken":  {[]Param{with(func(p *Param) { p.Parts = 1 })}, nil, "id 1 belongs to Endpoint?name"},
		"modifier":     {[]Param{with(func(p *Param) { p.Modifiers = []string{"above"} })}, nil, `modifier "above"`},
		"same id":      {[]Param{good, with(func(p *Param) { p.Code = "title" })}, nil, "id 1 belongs to Endpoint?name"},
		"id elsewhere": {[]Param{good, with(func(p *Param) { p.Base = fhir.Location })}, nil, "id 1 belongs to Endpoint?name"},
		"same code":    {[]Param{good, with(func(p *Param) { p.ID = 2 })}, nil, "defined twice"},
		"alias":        {[]Param{good}, map[fhir.Type]map[string]string{fhir.Endpoint: {"title": "nothing"}}, `stands for "nothing"`},
		"alias taken":  {[]Param{good}, map[fhir.Type]map[string]string{fhir.Endpoint: {"name": "name"}}, "is a search parameter itself"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewRegistry(c.params, c.aliases); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := NewRegistry([]Param{good}, map[fhir.Type]map[string]string{fhir.Endpoint: {"title": "name"}}); err != nil {
		t.Errorf("a good registry is refused: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"parameters":[{"id":1,"code":"x","base":"Patient"}]}`:    `base "Patient"`,
		`{"parameters":[{"id":1,"kode":"x"}]}`:                     `unknown field "kode"`,
		`{"aliases":[{"base":"Patient","alias":"x","code":"y"}]}`:  `alias x: base "Patient"`,
		`{"aliases":[{"base":"Resource","alias":"x","code":"y"}]}`: `stands for "y"`,
		`{`: "unexpected EOF",
		`{"parameters":[{"id":1,"code":"status","base":"Endpoint","values":["wibble"]}]}`:             `value set "wibble" is unknown`,
		`{"parameters":[{"id":1,"code":"status","base":"Endpoint","element":"code"}]}`:                `name the required value set`,
		`{"parameters":[{"id":1,"code":"name","base":"Endpoint","element":"string","values":["a"]}]}`: `belong together`,
	} {
		if _, err := parse([]byte(text), []byte(`{"valueSets":[{"name":"a","systems":["http://x/a"]}]}`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", text, err, want)
		}
	}
}

func TestParseValueSetsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"valueSets":[{"name":"a"}]}`:                                              `"a" is duplicate or incomplete`,
		`{"valueSets":[{"name":"a","systems":[""]}]}`:                               `"a" is duplicate or incomplete`,
		`{"valueSets":[{"systems":["http://x"]}]}`:                                  `"" is duplicate or incomplete`,
		`{"valueSets":[{"name":"a","systems":["x"]},{"name":"a","systems":["y"]}]}`: `"a" is duplicate or incomplete`,
		`{"valueSets":[{"name":"a","systems":["x"],"closed":true}]}`:                `is closed and has no codes`,
		`{"valueSets":[{"name":"a","systems":["x"],"kodes":["b"]}]}`:                `unknown field "kodes"`,
	} {
		if _, err := parse([]byte(`{}`), []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", text, err, want)
		}
	}
}

// TestImpliedSystems: each parameter of codes or booleans knows the system that R4 implies
// for them, and no other parameter has one.
func TestImpliedSystems(t *testing.T) {
	want := map[string][]string{
		"active":          {"http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values"},
		"allday":          {"http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values"},
		"suppressed":      {"http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values", "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"},
		"address-use":     {"http://hl7.org/fhir/address-use"},
		"daysofweek":      {"http://hl7.org/fhir/days-of-week"},
		"payloadmimetype": {"urn:ietf:bcp:13"},
	}
	reg := load(t)
	for _, rt := range fhir.Types() {
		for _, p := range reg.Params(rt) {
			if !p.Indexed() {
				continue
			}
			for _, set := range p.Values {
				if len(set.Codes) == 0 && set.Name != "mimetypes" {
					t.Errorf("%s?%s: the value set %s has no codes", rt, p.Code, set.Name)
				}
			}
			var got []string
			for _, s := range p.Values {
				got = append(got, s.Systems...)
			}
			wanted := want[p.Code]
			if p.Code == "status" {
				wanted = []string{"http://hl7.org/fhir/" + strings.ToLower(rt.String()) + "-status"}
			}
			if !slices.Equal(got, wanted) {
				t.Errorf("%s?%s implies the systems %v, want %v", rt, p.Code, got, wanted)
			}
		}
	}
}

// TestDefinitionsHash checks that the hash changes with what changes entries, and
// with nothing else.
func TestDefinitionsHash(t *testing.T) {
	base := []Param{{ID: 1, Code: "name", Type: String, Base: fhir.Endpoint, Element: "string", Expression: "Endpoint.name", Role: Substantive}}
	hash := func(change func(*Param)) string {
		p := base[0]
		change(&p)
		reg, err := NewRegistry([]Param{p}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return reg.DefinitionsHash()
	}
	before := hash(func(*Param) {})
	for name, change := range map[string]func(*Param){
		"id":         func(p *Param) { p.ID = 2 },
		"type":       func(p *Param) { p.Type = Token },
		"element":    func(p *Param) { p.Element = "code" },
		"expression": func(p *Param) { p.Expression = "Endpoint.status" },
		"native":     func(p *Param) { p.Native = "x" },
		"parts":      func(p *Param) { p.Parts = 2 },
		"restricted": func(p *Param) { p.Restricted = "no" },
	} {
		if hash(change) == before {
			t.Errorf("another %s gives the same hash", name)
		}
	}
	for name, change := range map[string]func(*Param){
		"url":    func(p *Param) { p.URL = "http://x" },
		"role":   func(p *Param) { p.Role = System },
		"values": func(p *Param) { p.Values = []ValueSet{{Name: "x"}} },
	} {
		if hash(change) != before {
			t.Errorf("another %s gives another hash", name)
		}
	}
	if a, b := load(t).DefinitionsHash(), load(t).DefinitionsHash(); a != b || len(a) != 64 {
		t.Errorf("hashes of the same definitions: %q and %q", a, b)
	}
}

// TestCapabilityStatement compares with testdata/capability.json, which holds the
// statement laid out for reading.
func TestCapabilityStatement(t *testing.T) {
	text := CapabilityStatement(load(t), CapabilityOptions{BaseURL: "http://directory.example/fhir", Version: "1.2.3", Date: 1_772_325_000_000})
	var got bytes.Buffer
	if err := json.Indent(&got, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	golden.Check(t, filepath.Join("testdata", "capability.json"), got.String())
}

// TestCapabilityFacts holds what the statement has to say, beside what the golden
// file shows. A requirement is named where all of it is there.
func TestCapabilityFacts(t *testing.T) {
	reg := load(t)
	var s capabilityStatement
	if err := json.Unmarshal(CapabilityStatement(reg, CapabilityOptions{BaseURL: "http://x/fhir", Version: "v", Released: "2026-11-30T01:02:03Z"}), &s); err != nil {
		t.Fatal(err)
	}
	server := s.Rest[0]
	for fact, holds := range map[string]func() bool{
		"CS-01": func() bool {
			return s.Kind == "instance" && s.FHIRVersion == "4.0.1" && slices.Equal(s.Format, []string{"json"}) &&
				s.Publisher != "" && len(s.Contact) == 1 && slices.Equal(s.Contact[0].Telecom, []Contact{{"url", "http://x/fhir"}}) &&
				s.Implementation.URL == "http://x/fhir" && s.Implementation.Description != "" &&
				slices.Contains(s.Instantiates, "http://digitalhealth.gov.au/fhir/hcpd/CapabilityStatement/health-connect-provider-directory-responder")
		},
		"the program and its date": func() bool {
			return s.Software == software{Name: "muster", Version: "v", ReleaseDate: "2026-11-30T01:02:03Z"}
		},
		"CS-05": func() bool {
			return len(server.Operation) == 1 && server.Operation[0].Name == "export" &&
				server.Operation[0].Definition == "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"
		},
		"CS-06": func() bool {
			of := map[string]resource{}
			for _, r := range server.Resource {
				of[r.Type] = r
			}
			history := of["Provenance"].ReadHistory
			return slices.Equal(of["Binary"].Interaction, []interaction{{Code: "read"}}) &&
				of["Parameters"].Profile == "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-export-request-parameters" && of["Parameters"].Interaction == nil &&
				history != nil && !*history && server.Security.Description != "" && len(s.Contact) == 1 && len(s.Instantiates) == 1
		},
		"CS-08": func() bool {
			return strings.Contains(server.Operation[0].Documentation, "at most 120 seconds; earlier polls get 429") &&
				strings.Contains(server.Documentation, "A page has at most 30 resources (_count) and a search shows at most the first 150.")
		},
	} {
		if !holds() {
			t.Errorf("the statement does not say what it should: %s", fact)
		}
	}
	for i, rt := range fhir.Types() {
		if server.Resource[i].Type != rt.String() || server.Resource[i].Versioning != "versioned" {
			t.Errorf("resource %d is %s, %s; want %s, versioned", i, server.Resource[i].Type, server.Resource[i].Versioning, rt)
		}
	}
}

// TestCapabilityStatementIsTruthful checks the rules that the golden file could
// lose by an update.
func TestCapabilityStatementIsTruthful(t *testing.T) {
	reg := load(t)
	var s capabilityStatement
	if err := json.Unmarshal(CapabilityStatement(reg, CapabilityOptions{BaseURL: "http://x/fhir"}), &s); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Rest[0].Resource {
		if r.Type != "Binary" && r.Type != "Parameters" && !slices.Equal(r.Interaction, []interaction{{Code: "read"}, {Code: "search-type"}}) {
			t.Errorf("%s: interactions %v, want read and search", r.Type, r.Interaction)
		}
		rt, _ := fhir.ParseType(r.Type)
		for _, p := range r.SearchParam {
			if known, ok := reg.Param(rt, p.Name); !ok || known.Restricted != "" {
				t.Errorf("%s?%s is announced and would be refused", r.Type, p.Name)
			}
			if p.Definition == "" {
				t.Errorf("%s?%s has no definition", r.Type, p.Name)
			}
		}
	}
}

// TestCapabilityTextFollowsTheRules checks that the text names the rules that are in force.
func TestCapabilityTextFollowsTheRules(t *testing.T) {
	t.Attr("requirements", "CS-08")
	for _, c := range []struct {
		rules     ServerRules
		says, not string
	}{
		{ServerRules{}, "at most 120 seconds; earlier polls get 429", "answered too"},
		{ServerRules{PollInterval: 2 * time.Minute}, "which is 120 seconds; earlier polls get 429", "at most 120"},
		{ServerRules{PollInterval: 1500 * time.Millisecond}, "which is 2 seconds; earlier polls get 429", "120"},
		{ServerRules{AnswersEarlyPolls: true}, "at most 120 seconds; earlier polls are answered too", "429"},
		{ServerRules{}, "Each type in _type needs one _typeFilter", "may have one"},
		{ServerRules{ExportsWithoutFilter: true}, "without one all resources of the type are exported", "needs one _typeFilter"},
		{ServerRules{}, "A search needs at least one parameter", "403"},
		{ServerRules{SearchesEverything: true}, "unless it names another state", "A search needs at least one parameter"},
		{ServerRules{SuppressedUnknown: true}, "the parameter suppressed is rejected with 403", "unless it names another state"},
		{ServerRules{}, "the resources in any state that changed", "but not suppressed ones"},
		{ServerRules{DeltasWithoutSuppressed: true}, "also inactive ones, but not suppressed ones", "in any state"},
	} {
		var s capabilityStatement
		if err := json.Unmarshal(CapabilityStatement(load(t), CapabilityOptions{BaseURL: "http://x/fhir", Rules: c.rules}), &s); err != nil {
			t.Fatal(err)
		}
		if text := s.Rest[0].Documentation + s.Rest[0].Operation[0].Documentation; !strings.Contains(text, c.says) || strings.Contains(text, c.not) {
			t.Errorf("%+v: the text is %q; want %q, and not %q", c.rules, text, c.says, c.not)
		}
	}
}

// TestRestrict: only the parameters with a reason are restricted, and index entries stay as
// they are.
func TestRestrict(t *testing.T) {
	reg := load(t)
	strict := reg.Restrict(func(p Param) string {
		if p.Personal {
			return "search by name"
		}
		return ""
	})
	var refused []string
	for _, rt := range reg.Types() {
		for n, p := range strict.Params(rt) {
			if before := reg.Params(rt)[n]; p.Restricted != before.Restricted {
				refused = append(refused, rt.String()+"?"+p.Code)
			}
			if found, _ := strict.Param(rt, p.Code); !cmp.Equal(found, p) {
				t.Errorf("%s?%s is listed but found as %+v", rt, p.Code, found)
			}
		}
	}
	if want := []string{"Practitioner?email", "Practitioner?phone", "Practitioner?telecom"}; !slices.Equal(refused, want) {
		t.Errorf("refused are %v, want %v", refused, want)
	}
	if strict.DefinitionsHash() != reg.DefinitionsHash() {
		t.Error("the stored index would be refused")
	}
	if n := strings.Count(string(CapabilityStatement(strict, CapabilityOptions{BaseURL: "http://x/fhir"})), "individual-phone"); n != 1 {
		t.Errorf("phone is announced for %d types, want PractitionerRole alone", n)
	}
}
