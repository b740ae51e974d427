package policy

import (
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

func registry(t *testing.T) *conformance.Registry {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func read(t *testing.T, text string) query.Query {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return q
}

// checkFilter returns what is refused to a client that may ask for suppressed resources.
func checkFilter(reg *conformance.Registry, q query.Query) fhir.Issues {
	_, issues := CheckFilter(bound.Bind(reg, q), FilterRules{}, FullAccess())
	return issues
}

// TestCheck holds the rules about questions. Each row tells the issues of a text
// in order, as "code: words that the diagnostics hold"; none for a sound text.
func TestCheck(t *testing.T) {
	const (
		unsupported = "not-supported: "
		invalid     = "invalid: "
		nothing     = invalid + "At least one non-state search parameter with a non-empty value must be provided"
		prescriber  = "http://ns.electronichealth.net.au/id/medicare-prescriber-number"
	)
	reg := registry(t)
	for _, tc := range []struct {
		req, text string
		want      []string
	}{
		{"KO-30", "Organization?name=clinic", nil},
		{"KO-30", "Practitioner?", []string{nothing}},
		{"KO-30", "Practitioner?gender=female", []string{unsupported + `"gender" at character 14`}},
		{"KO-31", "Practitioner?active=false", []string{nothing}},
		{"KO-32", "Location?name=a&_include=Location:organization", []string{unsupported + `"_include" at character 17 is not allowed in a filter`}},
		{"KO-32", "Location?name=a&_include:iterate=Location:organization", []string{unsupported + `"_include:iterate" at character 17`}},
		{"KO-32", "Location?name=a&_revinclude=HealthcareService:location", []string{unsupported + `"_revinclude"`}},
		{"KO-32", "Location?name=a&_revinclude:recurse=HealthcareService:location", []string{unsupported + `"_revinclude:recurse"`}},
		{"KO-33", "Location?name=a&_sort=near", []string{invalid + `"_sort" at character 17 shapes the response`}},
		{"KO-33", "Location?name=a&_count=10&_elements=id", []string{invalid + `"_count"`, invalid + `"_elements"`}},
		{"KO-33", "Location?_format=json", []string{invalid + `"_format"`, nothing}},
		{"KO-39", "Practitioner?_lastUpdated=ge1900-01-01", nil},
		{"KO-39", "Practitioner?_lastUpdated=gt2010", nil},

		{"SR-10", "Organization?name=", []string{invalid + `"name=" at character 14 has an empty value`, nothing}},
		{"SR-10", "Organization?name=,", []string{invalid + "has an empty value", nothing}},
		{"SR-10", "Organization?identifier=|", []string{invalid + "has an empty value", nothing}},
		{"SR-10", "Organization?name=%20", []string{invalid + "has an empty value", nothing}},
		{"SR-10", "Organization?name=a,", []string{invalid + "has an empty value"}},
		{"SR-10", "Organization?identifier=http://x|", nil},
		{"SR-10", "Organization?identifier=|8003621566684455", nil},
		{"SR-26", "Organization?name=a&identifier=", []string{invalid + `"identifier=" at character 21 has an empty value`}},
		{"SR-26", "Organization?name=a&partof.name=", []string{invalid + `"partof.name=" at character 21 has an empty value`}},
		{"SR-26", "Organization?partof.name=", []string{invalid + `has an empty value`, nothing}},
		{"SR-26", "Organization?_has:Location:organization:name=", []string{invalid + `has an empty value`, nothing}},
		{"SR-26", "Organization?name=a&active=", []string{invalid + `has an empty value`}},
		{"SR-11", "Organization?_id=a", nil},
		{"SR-11", "Location?_has:HealthcareService:location:name=a", nil},
		{"SR-12 VI-07", "Organization?active=true", []string{nothing}},
		{"SR-12", "Location?status=active", []string{nothing}},
		{"SR-12", "Endpoint?suppressed=true", []string{nothing}},
		{"SR-12", "Organization?active:not=true&suppressed:missing=false", []string{nothing}},
		{"SR-12", "Organization?_tag=x", []string{nothing}},
		{"SR-12", "Organization?_profile=x&_security=y&_source=z", []string{nothing}},
		{"SR-12", "Organization?name=a&active=true&suppressed=false", nil},
		{"A-13", "Provenance?target.resolve().as(Organization)", nil},

		{"SR-20", "Organization?name=a&_wibble=1", []string{invalid + `"_wibble" at character 21 is not a search parameter of Organization`}},
		{"SR-20", "Organization?_has=a", []string{invalid + `"_has" at character 14 needs a type`, nothing}},
		{"SR-21", "Organization?name=a&_filter=x", []string{invalid + `"_filter" at character 21 is not offered`}},
		{"SR-22", "Organization?nmae=a", []string{invalid + `"nmae" at character 14 is not a search parameter of Organization in this directory: use one of _id, _lastUpdated, _profile, _security, _source, _tag, active`}},
		{"SR-22", "Organization?Name=a", []string{invalid + `"Name"`}},
		{"SR-22", "Location?active=true&name=a", []string{invalid + `"active" at character 10 is not a search parameter of Location`}},
		{"VI-07", "Provenance?target=a&active=true&status=a&suppressed=false", []string{invalid + `"active"`, invalid + `"status"`, invalid + `"suppressed"`}},
		{"SR-22", "PractitionerRole?wibble.name=a", []string{invalid + `"wibble" at character 18 is not a reference from PractitionerRole that a chain can follow: use one of endpoint (to Endpoint), location (to Location)`}},
		{"SR-22", "PractitionerRole?identifier.name=a", []string{invalid + `"identifier" at character 18 is not a reference`}},
		{"SR-22", "PractitionerRole?organization:Location.name=a", []string{invalid + `"organization:Location" at character 18 is not a reference`}},
		{"SR-22", "PractitionerRole?organization.wibble=a", []string{invalid + `"wibble" at character 31 is not a search parameter of Organization`}},
		{"SR-22", "Provenance?target.wibble=a", []string{invalid + `"wibble" at character 19 is not a search parameter of any of Organization, Location`}},
		{"SR-22", "Organization?_has:Patient:organization:name=a", []string{invalid + `asks for Patient, which is not a type`}},
		{"SR-22", "Organization?_has:Location:wibble:name=a", []string{invalid + `"_has:Location:wibble" at character 14 does not name a reference from Location to Organization: use one of endpoint (to Endpoint), organization`}},
		{"SR-22", "Practitioner?_has:Location:organization:name=a", []string{invalid + `does not name a reference from Location to Practitioner`}},
		{"SR-22", "Organization?_has:Organization:partof:name=a", nil},
		{"SR-22", "Practitioner?_has:Practitioner:partof:name=a", []string{invalid + `it has none in this directory`}},
		{"SR-25", "Organization?name=a&_text=x&_content=x&_list=x&_query=x&_type=x&_contained=x", []string{
			invalid + `"_text"`, invalid + `"_content"`, invalid + `"_list"`, invalid + `"_query"`, invalid + `"_type"`, invalid + `"_contained"`}},

		{"SR-30", "Practitioner?name=a&gender=male", []string{unsupported + `"gender" at character 21 is refused on Practitioner for privacy`}},
		{"SR-30", "Practitioner?gender-identity=x", []string{unsupported + `"gender-identity"`}},
		{"SR-30", "Practitioner?address=x&address-city=x&address-use=x", []string{unsupported + `"address"`, unsupported + `"address-city"`, unsupported + `"address-use"`}},
		{"SR-30", "Practitioner?address-district=x", []string{unsupported + `"address-district"`}},
		{"SR-30", "Practitioner?identifier=" + prescriber + "|", []string{unsupported + `"identifier" at character 14 searches by a Medicare prescriber number`}},
		{"SR-30", "Practitioner?identifier=a," + prescriber + "|123", []string{unsupported + `"identifier"`}},
		{"SR-30", "Practitioner?identifier=" + strings.ToUpper(prescriber) + "|123", []string{unsupported + `"identifier"`}},
		{"SR-30", "Practitioner?identifier=" + prescriber + "/|123", []string{unsupported + `"identifier"`}},
		{"SR-30", "Practitioner?identifier=http://ns.electronichealth.net.au/id/hi/hpii/1.0|8003611566682112", nil},
		{"SR-30", "Location?address-city=Balmain", nil},
		{"SR-30", "PractitionerRole?identifier=" + prescriber + "|123", []string{unsupported + `"identifier" at character 18 searches by a Medicare prescriber number`}},
		{"SR-30", "Organization?identifier:of-type=http://x|PRES|123", []string{unsupported + `"identifier:of-type"`}},
		{"SR-30", "PractitionerRole?practitioner:identifier=" + strings.Replace(prescriber, "http:", "https:", 1) + "|123", []string{unsupported + `"practitioner:identifier"`}},
		{"SR-30", "Provenance?target:identifier=" + prescriber + "|1.0|123", []string{unsupported + `"target:identifier"`}},
		{"SR-30", "PractitionerRole?organization:identifier=" + prescriber + "|123", []string{unsupported + `"organization:identifier"`}},
		{"SR-30", "PractitionerRole?gender=male&gender-identity=x&address-city=x", []string{unsupported + `"gender"`, unsupported + `"gender-identity"`, unsupported + `"address-city"`}},
		{"SR-30", "Organization?address=x&address-city=x", nil},
		{"SR-31", "Practitioner?gender=male", []string{unsupported + "use rsg"}},
		{"SR-32", "PractitionerRole?practitioner.gender=female", []string{unsupported + `"gender" at character 31`}},
		{"SR-32", "PractitionerRole?practitioner:Practitioner.address-city=x", []string{unsupported + `"address-city"`}},
		{"SR-32", "Organization?_has:PractitionerRole:organization:practitioner.gender=female", []string{unsupported + `"gender"`}},
		{"SR-32", "Provenance?target.gender=female", []string{unsupported + `"gender"`}},
		{"SR-32", "PractitionerRole?practitioner.identifier=" + prescriber + "|1", []string{unsupported + `"identifier"`}},
		{"SR-32", "PractitionerRole?location.address-city=Balmain", nil},
		{"SR-33", "Practitioner?gender:missing=true", []string{unsupported + `"gender:missing"`}},
		{"SR-33", "Practitioner?identifier-r5=" + prescriber + "|1", []string{unsupported + `"identifier-r5"`}},
		{"SR-33", "Practitioner?identifier:of-type=http://terminology.hl7.org.au/CodeSystem/v2-0203|PRES|1", []string{unsupported + `"identifier:of-type"`}},
		{"SR-33", "Practitioner?identifier:not=" + prescriber + "|1", []string{unsupported + `"identifier:not"`}},
		{"SR-33", "PractitionerRole?practitioner:identifier=a," + prescriber + "|1", []string{unsupported + `"practitioner:identifier"`}},
		{"SR-33", "Provenance?target:identifier=" + prescriber + "|", []string{unsupported + `"target:identifier"`}},
		{"SR-33", "PractitionerRole?gender-identity=x", []string{unsupported + `"gender-identity"`}},
		{"SR-34", "Practitioner?birthDate=2000&photo=x", []string{invalid + `"birthDate"`, invalid + `"photo"`}},

		{"KO-38", "Practitioner?gender=x&foo=y&_count=3&name=", []string{
			unsupported + `"gender"`, invalid + `"foo"`, invalid + `"_count"`, invalid + `"name="`}},
	} {
		t.Run(tc.req+" "+tc.text, func(t *testing.T) {
			issues := checkFilter(reg, read(t, tc.text))
			if len(issues) != len(tc.want) {
				t.Fatalf("%d issues, want %d:\n%v", len(issues), len(tc.want), issues)
			}
			for n, i := range issues {
				code, words, _ := strings.Cut(tc.want[n], ": ")
				if code != string(i.Code) || !strings.Contains(i.Diagnostics, words) {
					t.Errorf("issue %d: %s: %s\nwant %s: … %s …", n, i.Code, i.Diagnostics, code, words)
				}
			}
		})
	}
}

// TestSearchesIgnoreEmptyParameters: a search is checked and found as if the parameters
// without a value were not there. Their names are checked all the same.
func TestSearchesIgnoreEmptyParameters(t *testing.T) {
	t.Attr("requirements", "SR-10 SR-26")
	reg := registry(t)
	for _, tc := range []struct{ text, kept, refused string }{
		{"Organization?name=a&identifier=", "Organization?name=a", ""},
		{"Organization?name=&identifier=1&type=%20&partof=,&address=|", "Organization?identifier=1", ""},
		{"Organization?name:exact=&partof.name=&_has:Location:organization:name=&_id=a", "Organization?_id=a", ""},
		{"Organization?name=a&active=&suppressed:not=", "Organization?name=a", ""},
		{"Organization?name=", "", "At least one non-state search parameter"},
		{"Organization?partof.name=", "", "At least one non-state search parameter"},
		{"Organization?_has:Location:organization:name=&active=true", "", "At least one non-state search parameter"},
		{"Organization?name=a,", "", "has an empty value"},
		{"Organization?name=a&wibble=", "", `"wibble" at character 21 is not a search parameter`},
		{"Organization?name=a&name:above=", "", `"name:above" at character 21 has the modifier`},
		{"Practitioner?name=a&gender=", "", `"gender" at character 21 is refused on Practitioner for privacy`},
		{"Organization?name=a&wibble.name=", "", `"wibble" at character 21 is not a reference`},
	} {
		allowed, issues := CheckSearch(bound.Bind(reg, read(t, tc.text)), SearchRules{RequireSubstantive: true}, FullAccess())
		switch {
		case tc.refused != "":
			if len(issues) != 1 || !strings.Contains(issues.Error(), tc.refused) {
				t.Errorf("%s: issues %v, want one with %q", tc.text, issues, tc.refused)
			}
			continue
		case len(issues) > 0:
			t.Errorf("%s is refused: %v", tc.text, issues)
		}
		if got := allowed.Parsed.String(); got != tc.kept || len(allowed.Terms) != len(allowed.Parsed.Params) {
			t.Errorf("%s: %s with %d terms remains, want %s", tc.text, got, len(allowed.Terms), tc.kept)
		}
		if visible := ForSearch(allowed, fhir.AllTypes()).Visibility.Found; visible != (bound.State{Active: true, NotSuppressed: true}) {
			t.Errorf("%s: an empty state parameter changes the visibility to %s", tc.text, visible)
		}
	}
}

// TestPrescriberNumberStaysPrivate: a refusal does not repeat the number.
func TestPrescriberNumberStaysPrivate(t *testing.T) {
	issues := checkFilter(registry(t), read(t, "Practitioner?identifier=http://ns.electronichealth.net.au/id/medicare-prescriber-number|7654321"))
	if len(issues) != 1 || strings.Contains(issues.Error(), "7654321") {
		t.Errorf("issues %v, want one without the number", issues)
	}
}

// TestVisibility holds the rules about state (VI-04, VI-05, VI-09..11, A-50, A-52): the
// terms that restrict the query, and the state of what is found and followed.
func TestVisibility(t *testing.T) {
	var (
		anyState     = bound.State{}
		active       = bound.State{Active: true}
		unsuppressed = bound.State{NotSuppressed: true}
		visible      = bound.State{Active: true, NotSuppressed: true}
	)
	since := func(q bound.Query) bound.Query { return ForDelta(q, fhir.AllTypes(), false) }
	hidden := func(q bound.Query) bound.Query { return ForDelta(q, fhir.AllTypes(), true) }
	search := func(q bound.Query) bound.Query { return ForSearch(q, fhir.AllTypes()) }
	reg := registry(t)
	for _, tc := range []struct {
		req, text       string
		complete        func(bound.Query) bound.Query
		terms           string
		found, followed bound.State
	}{
		{"VI-09", "Organization?name=a", search, "Organization?name=a", visible, visible},
		{"VI-09", "HealthcareService?name=a", search, "HealthcareService?name=a", visible, visible},
		{"VI-09", "Practitioner?name=a", search, "Practitioner?name=a", visible, visible},
		{"VI-09", "PractitionerRole?_id=a", search, "PractitionerRole?_id=a", visible, visible},
		{"VI-03", "Location?name=a", search, "Location?name=a", visible, visible},
		{"VI-03", "Endpoint?name=a", search, "Endpoint?name=a", visible, visible},
		{"VI-04 VI-06", "Organization?active=false&name=a", search, "Organization?active=false&name=a", unsuppressed, visible},
		{"VI-04", "Organization?name=a&active=true,false", search, "Organization?name=a&active=true,false", unsuppressed, visible},
		{"VI-05", "Endpoint?name=a&status=inactive", search, "Endpoint?name=a&status=inactive", unsuppressed, visible},
		{"A-52", "Endpoint?name=a&status=suspended", search, "Endpoint?name=a&status=suspended", unsuppressed, visible},
		{"A-50", "Organization?name=a&suppressed=true", search, "Organization?name=a&suppressed=true", active, visible},
		{"A-50", "Organization?name=a&suppressed=true&active=false", search, "Organization?name=a&suppressed=true&active=false", anyState, visible},
		{"VI-16", "PractitionerRole?organization.active=false", search, "PractitionerRole?organization.active=false", visible, visible},
		{"VI-14 A-24", "Provenance?target=a", search, "Provenance?target=a", visible, visible},
		{"VI-16 A-25", "Location?organization.name=a", search, "Location?organization.name=a", visible, visible},
		{"VI-16 A-25", "Organization?_has:Location:organization:_id=a", search, "Organization?_has:Location:organization:_id=a", visible, visible},
		{"VI-16 A-25", "Organization?_has:Provenance:target:agent:Practitioner.name=a", search, "Organization?_has:Provenance:target:agent:Practitioner.name=a", visible, visible},
		{"VI-16 A-25", "Location?organization.suppressed=true", search, "Location?organization.suppressed=true", visible, visible},
		{"VI-16", "Location?organization.name=a", since, "Location?organization.name=a", anyState, anyState},
		{"VI-10", "Organization?name=a", since, "Organization?name=a", anyState, anyState},
		{"VI-11", "Organization?active=true&name=a&suppressed=false", since, "Organization?name=a", anyState, anyState},
		{"VI-11", "Location?name=a&status:not=active&suppressed:missing=true", since, "Location?name=a", anyState, anyState},
		{"VI-11", "PractitionerRole?organization.active=false", since, "PractitionerRole?organization.active=false", anyState, anyState},
		{"A-24", "Provenance?target=a", since, "Provenance?target=a", anyState, anyState},
		{"SU-01", "Organization?name=a&active=true&suppressed=true", hidden, "Organization?name=a", unsuppressed, unsuppressed},
		{"SU-01", "Provenance?target=a", hidden, "Provenance?target=a", unsuppressed, unsuppressed},
		{"SU-01", "PractitionerRole?organization.active=false", hidden, "PractitionerRole?organization.active=false", unsuppressed, unsuppressed},
		{"SU-01", "Organization?_has:Provenance:target:agent:Practitioner.name=a", hidden, "Organization?_has:Provenance:target:agent:Practitioner.name=a", unsuppressed, unsuppressed},
	} {
		q := bound.Bind(reg, read(t, tc.text))
		got := tc.complete(q)
		var terms []string
		for n, term := range got.Terms {
			if !term.Ignored {
				terms = append(terms, term.Parsed().String())
			}
			if q.Terms[n].Ignored {
				t.Errorf("%s: the caller's query is changed", tc.text)
			}
		}
		if text := q.Type.String() + "?" + strings.Join(terms, "&"); text != tc.terms {
			t.Errorf("%s %s: %s, want %s", tc.req, tc.text, text, tc.terms)
		}
		if want := (bound.Visibility{Found: tc.found, Followed: tc.followed}); got.Visibility != want {
			t.Errorf("%s %s %s, want: %s", tc.req, tc.text, got.Visibility, want)
		}
	}
}

// TestRoles: names without a definition count as their roles would, and every type but
// Provenance has the state parameters.
func TestRoles(t *testing.T) {
	reg := registry(t)
	for _, typ := range fhir.Types() {
		var states []string
		for _, p := range reg.Params(typ) {
			if isState(p.Code) != (p.Role == conformance.State) {
				t.Errorf("%s?%s has the role %s, but isState says %v", typ, p.Code, p.Role, isState(p.Code))
			}
			if p.Role == conformance.State {
				states = append(states, p.Code)
			}
			unknown := bound.Criterion{Criterion: query.Criterion{Name: p.Code}}
			if p.Code != "_id" && p.Code != "_lastUpdated" && role(unknown) != p.Role {
				t.Errorf("%s?%s has the role %s, but without its definition it would be %s", typ, p.Code, p.Role, role(unknown))
			}
		}
		if want := (map[bool]int{true: 0, false: 2})[typ == fhir.Provenance]; len(states) != want {
			t.Errorf("%s has the state parameters %v, want %d", typ, states, want)
		}
	}
}

// TestOneTableOfWhatIsNotHeld: the definitions restrict exactly the parameters that the
// table names, so that what is stripped cannot be asked for, and nothing else is refused.
func TestOneTableOfWhatIsNotHeld(t *testing.T) {
	t.Attr("requirements", "SR-30 ST-01")
	reg := registry(t)
	for _, typ := range fhir.Types() {
		for _, p := range reg.Params(typ) {
			inTable := aboutPerson(typ) && heldParam(p.Code) != nil
			if inTable != (p.Restricted != "") {
				t.Errorf("%s?%s: in the table %v, restricted by its definition: %q", typ, p.Code, inTable, p.Restricted)
			}
			if f := heldParam(p.Code); inTable && f.wayOut != p.Restricted {
				t.Errorf("%s?%s: the table says %q, the definition %q", typ, p.Code, f.wayOut, p.Restricted)
			}
		}
	}
}

// TestTypeTestSwitch: an operator can refuse the type test of Provenance, in
// filters only.
func TestTypeTestSwitch(t *testing.T) {
	q := bound.Bind(registry(t), read(t, "Provenance?target.resolve().as(Organization)"))
	allowed, issues := CheckFilter(q, FilterRules{RefuseTypeTest: true}, FullAccess())
	if len(allowed.Terms) != 0 || len(issues) != 1 || !strings.HasPrefix(issues[0].Diagnostics, `"target.resolve().as(Organization)" at character 12 is not a search parameter`) {
		t.Errorf("allowed %v, issues %v", allowed.Terms, issues)
	}
	if _, issues := CheckSearch(q, SearchRules{RequireSubstantive: true}, FullAccess()); len(issues) > 0 {
		t.Errorf("a search is refused: %v", issues)
	}
}

// TestWithoutContacts: only the contacts of persons are restricted, and index entries stay
// as they are.
func TestWithoutContacts(t *testing.T) {
	reg := registry(t)
	strict := WithoutContacts(reg)
	if strict.DefinitionsHash() != reg.DefinitionsHash() {
		t.Error("the hash of the definitions changes")
	}
	for _, typ := range fhir.Types() {
		for _, p := range reg.Params(typ) {
			now, _ := strict.Param(typ, p.Code)
			if restricted := now.Restricted != p.Restricted; restricted != p.Personal {
				t.Errorf("%s?%s: personal %v, restricted %q", typ, p.Code, p.Personal, now.Restricted)
			}
		}
	}
	if issues := checkFilter(strict, read(t, "PractitionerRole?practitioner.phone=1")); len(issues) != 1 || issues[0].Code != fhir.CodeNotSupported {
		t.Errorf("a chain to a contact has the issues %v", issues)
	}
}
