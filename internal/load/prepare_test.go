package load

import (
	"bytes"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"
	"pgregory.net/rapid"
)

// TestRefused lists the ways in which a line can be invalid, with kind and reason.
func TestRefused(t *testing.T) {
	const o = `{"resourceType":"Organization","id":"a",`
	for _, c := range []struct {
		name, line string
		kind       Kind
		reason     string // a part of it
	}{
		{"not JSON", `hello`, BadJSON, "at byte 1"},
		{"truncated", `{"resourceType":"Organization"`, BadJSON, "cut off at byte 30"},
		{"truncated in a string", `{"resourceType":"Org`, BadJSON, "cut off"},
		{"more text after the value", org("a") + org("b"), BadJSON, "more text after the value"},
		{"trailing comma", o + `"active":true,}`, BadJSON, "key of a member is missing"},
		{"single quotes", `{'resourceType':1}`, BadJSON, "key of a member is missing"},
		{"leading zero", o + `"x":01}`, BadJSON, "at byte"},
		{"NaN", o + `"x":NaN}`, BadJSON, "not the start"},
		{"bare point", o + `"x":1.}`, BadJSON, "digit"},
		{"empty exponent", o + `"x":1e}`, BadJSON, "exponent"},
		{"huge number", o + `"x":-1e400}`, BadJSON, "at byte 45: the number is too large"},
		{"huge number in digits", o + `"x":` + strings.Repeat("9", 400) + `}`, BadJSON, "the number is too large"},
		{"not UTF-8", o + "\"name\":\"\xff\"}", BadJSON, "not UTF-8"},
		{"half of a surrogate pair", o + `"name":"\ud800"}`, BadJSON, "half of a surrogate pair"},
		{"no such escape", o + `"name":"\x41"}`, BadJSON, "no such escape"},
		{"bad hex", o + `"name":"\u00g0"}`, BadJSON, "hex"},
		{"control character", o + "\"name\":\"a\x01\"}", BadJSON, "control character"},
		{"escaped NUL", o + `"name":"a\u0000"}`, BadJSON, "control character"},
		{"vertical tab that is not escaped", o + "\"name\":\"a\v\"}", BadJSON, "control character"},
		{"vertical tab in a code", o + `"telecom":[{"system":"ph\u000bone"}]}`, BadShape, "telecom[0].system: this is not a code"},
		{"form feed in a URI", o + `"identifier":[{"system":"http://a\fb","value":"1"}]}`, BadShape, "identifier[0].system: this is not a URI"},
		{"backspace in a reference", o + `"partOf":{"reference":"urn:\b"}}`, BadReference, "partOf.reference"},
		{"second of 61", `{"resourceType":"Provenance","id":"a","recorded":"2016-12-31T23:59:61Z"}`, BadShape, "recorded: this is not an instant"},
		{"too deep", o + `"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, TooLarge, "deeper than 64"},
		{"duplicate key", o + `"name":"x","name":"y"}`, DuplicateKey, "twice"},
		{"duplicate key deep", o + `"address":[{"city":"x","city":"y"}]}`, DuplicateKey, "twice"},
		{"duplicate key by escape", o + `"name":"x","n\u0061me":"y"}`, DuplicateKey, "twice"},
		{"not an object", `[1]`, BadShape, "not a resource"},
		{"no type", `{"id":"a"}`, OtherType, "resourceType"},
		{"other type", `{"resourceType":"Patient","id":"a"}`, OtherType, "holds only"},
		{"type in small letters", `{"resourceType":"organization","id":"a"}`, OtherType, "holds only"},
		{"no id", `{"resourceType":"Organization","name":"x"}`, MissingID, "no id"},
		{"bad id", `{"resourceType":"Organization","id":"a/b"}`, BadID, "1 to 64"},
		{"number as id", `{"resourceType":"Organization","id":7}`, BadID, "1 to 64"},
		{"long id", `{"resourceType":"Organization","id":"` + strings.Repeat("a", 65) + `"}`, BadID, "1 to 64"},
		{"empty array", o + `"alias":[]}`, EmptyElement, "alias: an array without items"},
		{"empty object", o + `"partOf":{}}`, EmptyElement, "partOf: an object without members"},
		{"empty string", o + `"name":""}`, EmptyElement, "name: an empty string"},
		{"null", o + `"name":null}`, EmptyElement, "name: null"},
		{"null without sibling", o + `"alias":["x",null]}`, EmptyElement, "alias[1]: null"},
		{"empty in unknown", o + `"other":{"deep":[{"x":""}]}}`, EmptyElement, "other.deep[0].x"},
		{"array for one", o + `"name":["x"]}`, BadShape, "name: the element does not repeat"},
		{"one for array", o + `"alias":"x"}`, BadShape, "alias: the element repeats"},
		{"object for primitive", o + `"name":{"x":1}}`, BadShape, "name: this is an object"},
		{"primitive for object", o + `"partOf":"Organization/b"}`, BadShape, "partOf: this is a primitive value"},
		{"array in array", o + `"alias":[["x"]]}`, BadShape, "alias[0]: an array inside an array"},
		{"quoted boolean", o + `"active":"true"}`, BadShape, "active: this is not a boolean"},
		{"number as name", o + `"name":5}`, BadShape, "name: this is not a string"},
		{"spaced code", o + `"telecom":[{"system":" phone"}]}`, BadShape, "telecom[0].system: this is not a code"},
		{"spaced URI", o + `"identifier":[{"system":"http://a b","value":"1"}]}`, BadShape, "identifier[0].system: this is not a URI"},
		{"bad date", `{"resourceType":"PractitionerRole","id":"a","period":{"start":"2026-13"}}`, BadShape, "period.start: this is not a date"},
		{"bad instant", `{"resourceType":"Provenance","id":"a","recorded":"2026-01-01"}`, BadShape, "recorded: this is not an instant"},
		{"bad time", `{"resourceType":"HealthcareService","id":"a","availableTime":[{"availableStartTime":"9:00"}]}`, BadShape, "availableStartTime: this is not a time"},
		{"bad number", `{"resourceType":"Location","id":"a","position":{"longitude":"1","latitude":2}}`, BadShape, "position.longitude: this is not a number"},
		{"empty key", o + `"":[{}]}`, BadShape, "with an empty name"},
		{"bad sibling", o + `"name":"x","_name":"y"}`, BadShape, "_name: this is a primitive value"},
		{"reference without id", o + `"partOf":{"reference":"Organization/"}}`, BadReference, "partOf.reference"},
		{"reference without type", o + `"partOf":{"reference":"b"}}`, BadReference, "partOf.reference"},
		{"conditional reference", o + `"partOf":{"reference":"Organization?name=x"}}`, BadReference, "partOf.reference"},
		{"reference with space", o + `"partOf":{"reference":"Organization/b c"}}`, BadReference, "partOf.reference"},
		{"reference in an extension", o + `"extension":[{"url":"http://x","valueReference":{"reference":"?"}}]}`, BadReference, "extension[0].valueReference.reference"},
		{"meta not an object", o + `"meta":"x"}`, BadShape, "meta"},
		{"status in capitals", `{"resourceType":"Location","id":"a","status":"Inactive"}`, BadState, "status: this is not a FHIR code"},
		{"status as a boolean", `{"resourceType":"Endpoint","id":"a","status":false}`, BadShape, "status: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := prepareText(newPreparer(t), c.line)
			if r == nil {
				t.Fatalf("%s was not refused", c.line)
			}
			if r.Kind != c.kind || !strings.Contains(r.Error(), c.reason) {
				t.Errorf("%s\nwas refused as %q: %v\nwant %q with %q", c.line, r.Kind, r, c.kind, c.reason)
			}
		})
	}
}

// TestStored lists valid lines and their stored form.
func TestStored(t *testing.T) {
	const stampText = `"versionId":"1","lastUpdated":"2026-03-01T00:00:00.000Z"`
	const old = `{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed","valueBoolean":`
	const by = `{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"`
	const current = `"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"`
	for _, c := range []struct{ name, line, want string }{
		{"order of members",
			` { "name" : "x", "active":true, "id":"a" ,"resourceType":"Organization"}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"name":"x","active":true}`},
		{"meta",
			`{"resourceType":"Organization","id":"a","name":"x","meta":{"versionId":"7","source":"urn:x","lastUpdated":"2020","profile":["http://p"]}}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `,"source":"urn:x","profile":["http://p"]},"name":"x"}`},
		{"numbers as text",
			`{"resourceType":"Location","id":"a","meta":{"profile":["http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-service-coverage-area|26.0.0"]},"position":{"longitude":151.20700,"latitude":-3.3e1}}`,
			`{"resourceType":"Location","id":"a","meta":{` + stampText + `,"profile":["http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-service-coverage-area|26.0.0"]},"position":{"longitude":151.20700,"latitude":-3.3e1}}`},
		{"escapes",
			`{"resourceType":"Organization","id":"a","name":"\u0041\/\"\\\n\ud83c\udf1e` + "\u2028\u0085é" + `"}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"name":"A/\"\\\n🌞\u2028\u0085é"}`},
		{"seconds of 60",
			`{"resourceType":"Provenance","id":"a","recorded":"2016-12-31T23:59:60.5Z","occurredPeriod":{"start":"2016-12-31T23:59:60Z"},"target":[{"display":"x"}]}`,
			`{"resourceType":"Provenance","id":"a","meta":{` + stampText + `},"recorded":"2016-12-31T23:59:60.5Z","occurredPeriod":{"start":"2016-12-31T23:59:60Z"},"target":[{"display":"x"}]}`},
		{"a time of day of 60 seconds",
			`{"resourceType":"Location","id":"a","meta":{"profile":["` + coverageArea + `"]},"hoursOfOperation":[{"closingTime":"23:59:60"}]}`,
			`{"resourceType":"Location","id":"a","meta":{` + stampText + `,"profile":["` + coverageArea + `"]},"hoursOfOperation":[{"closingTime":"23:59:60"}]}`},
		{"control characters that cause a warning",
			`{"resourceType":"Organization","id":"a","name":"a\u000bb\fc\bd"}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"name":"a\u000bb\u000cc\u0008d"}`},
		{"masked name, null beside an extension",
			`{"resourceType":"Organization","id":"a","alias":["x",null],"_alias":[null,{"id":"q"}],"_name":{"id":"z"}}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"alias":["x",null],"_alias":[null,{"id":"q"}],"_name":{"id":"z"}}`},
		{"references that are well-formed",
			`{"resourceType":"Organization","id":"a","partOf":{"reference":"Organization/b/_history/2"},"endpoint":[{"reference":"#e"},{"reference":"urn:uuid:0"},{"reference":"https://x/Endpoint/1"},{"display":"none"}]}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"partOf":{"reference":"Organization/b/_history/2"},"endpoint":[{"reference":"#e"},{"reference":"urn:uuid:0"},{"reference":"https://x/Endpoint/1"},{"display":"none"}]}`},
		{"stripped Practitioner",
			`{"resourceType":"Practitioner","id":"a","text":{"div":"<div>female</div>"},"gender":null,"birthDate":"x","photo":[],"address":[{}],"name":[{"family":"Wen"}]}`,
			`{"resourceType":"Practitioner","id":"a","meta":{` + stampText + `},"name":[{"family":"Wen"}]}`},
		{"old suppression of an Organization",
			`{"resourceType":"Organization","id":"a","extension":[` + old + `true}]}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"extension":[{` + current + `,"extension":[` + by + `organisation-initiated"}]}},{"url":"includeSelf","valueBoolean":true}]}]}`},
		{"old suppression of a Practitioner",
			`{"resourceType":"Practitioner","id":"a","extension":[` + old + `true}]}`,
			`{"resourceType":"Practitioner","id":"a","meta":{` + stampText + `},"extension":[{` + current + `,"extension":[` + by + `practitioner-initiated"}]}}]}]}`},
		{"old suppression that is false",
			`{"resourceType":"Organization","id":"a","extension":[` + old + `false}],"name":"x"}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"name":"x"}`},
		{"both forms, without includeSelf",
			`{"resourceType":"Organization","id":"a","extension":[` + old + `true},{` + current + `,"extension":[` + by + `organisation-initiated"}]}}]}]}`,
			`{"resourceType":"Organization","id":"a","meta":{` + stampText + `},"extension":[{` + current + `,"extension":[` + by + `organisation-initiated"}]}},{"url":"includeSelf","valueBoolean":true}]}]}`},
		{"local identifier",
			`{"resourceType":"Endpoint","id":"a","identifier":[{"value":"1"}],"status":"active"}`,
			`{"resourceType":"Endpoint","id":"a","meta":{` + stampText + `},"identifier":[{"value":"1"},{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"XX"}]},"system":"http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier","value":"` + LocalIdentifier(fhir.Endpoint, "a") + `"}],"status":"active"}`},
		{"existing local identifier",
			`{"resourceType":"Endpoint","id":"a","identifier":[{"system":"http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier","value":"1"}]}`,
			`{"resourceType":"Endpoint","id":"a","meta":{` + stampText + `},"identifier":[{"system":"http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier","value":"1"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, stored(t, newPreparer(t), c.line)); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLocalIdentifierIsFixed fixes the derivation: a change would give every directory new
// identifiers (D13).
func TestLocalIdentifierIsFixed(t *testing.T) {
	if got, want := LocalIdentifier(fhir.Endpoint, "a"), "a543e8f5-008d-50a5-81e9-73e396bc951f"; got != want {
		t.Errorf("LocalIdentifier(Endpoint, a) = %s, want %s", got, want)
	}
}

// TestSourceHash checks that the hash depends on the meaning of a source, not on its form.
func TestSourceHash(t *testing.T) {
	p := newPreparer(t)
	hash := func(text string) [16]byte {
		out, r := prepareText(p, text)
		if r != nil {
			t.Fatal(r)
		}
		return out.change.SourceHash
	}
	first := hash(`{"resourceType":"Practitioner","id":"a","name":[{"family":"Wen","given":["A","B"]}]}`)
	for _, same := range []string{
		`{"id":"a","name":[{"given":["A","B"],"family":"Wen"}],"resourceType":"Practitioner"}`,
		`{"resourceType":"Practitioner","id":"a","meta":{"versionId":"3","lastUpdated":"2020-01-01T00:00:00Z"},"name":[{"family":"W\u0065n","given":["A","B"]}]}`,
		`{"resourceType":"Practitioner","id":"a","gender":"other","name":[{"family":"Wen","given":["A","B"]}]}`,
	} {
		if hash(same) != first {
			t.Errorf("another hash for the same source: %s", same)
		}
	}
	for _, other := range []string{
		`{"resourceType":"Practitioner","id":"a","name":[{"family":"Wen","given":["B","A"]}]}`,
		`{"resourceType":"Practitioner","id":"a","meta":{"source":"urn:x"},"name":[{"family":"Wen","given":["A","B"]}]}`,
		`{"resourceType":"Practitioner","id":"a","active":true,"name":[{"family":"Wen","given":["A","B"]}]}`,
	} {
		if hash(other) == first {
			t.Errorf("the same hash for another source: %s", other)
		}
	}
}

// TestKeepMeta checks that lastUpdated of the source is kept if configured, and must be an
// instant.
func TestKeepMeta(t *testing.T) {
	p := newPreparer(t)
	const line = `{"resourceType":"Organization","id":"a","name":"x","meta":{"lastUpdated":"2026-03-01T11:00:00+11:00"}}`
	if out, _ := prepareText(p, line); out.change.LastUpdated != nil {
		t.Errorf("kept %v, which is not configured", out.change.LastUpdated)
	}
	p.keepMeta = true
	for text, want := range map[string]fhir.Instant{
		"2026-03-01T11:00:00+11:00": stamp, "1970-01-01T00:00:00Z": 0, "1970-01-01T10:00:00.0004+10:00": 0, "0001-01-01T00:00:00Z": -62_135_596_800_000,
	} {
		out, r := prepareText(p, strings.Replace(line, "2026-03-01T11:00:00+11:00", text, 1))
		if r != nil || out.change.LastUpdated == nil || *out.change.LastUpdated != want {
			t.Errorf("%s: kept %v (refused: %v), want %v", text, out.change.LastUpdated, r, want)
		}
	}
	for _, text := range []string{"0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "0000-06-01T00:00:00Z"} {
		_, r := prepareText(p, strings.Replace(line, "2026-03-01T11:00:00+11:00", text, 1))
		if r == nil || r.Path != "meta.lastUpdated" || !strings.Contains(r.Text, "0001 to 9999") {
			t.Errorf("%s: refused as %v, want the range of years", text, r)
		}
	}
	_, r := prepareText(p, strings.Replace(line, "+11:00", "", 1))
	if r == nil || r.Path != "meta.lastUpdated" {
		t.Errorf("a time without zone: %v", r)
	}
}

// TestEntriesAndState checks the index entries and the visibility of a change.
func TestEntriesAndState(t *testing.T) {
	out, r := prepareText(newPreparer(t), `{"resourceType":"Organization","id":"a","active":false,"name":"Harbour"}`)
	if r != nil {
		t.Fatal(r)
	}
	if out.change.Visibility != index.Inactive || len(out.change.Entries) == 0 {
		t.Errorf("state %v with %d entries, want Inactive and some", out.change.Visibility, len(out.change.Entries))
	}
}

// jsonValues draws JSON texts in all forms.
func jsonValues() *rapid.Generator[string] {
	str := rapid.Custom(func(t *rapid.T) string {
		return `"` + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "é", "\u2028", "\u0085", `\u0041`, `\u2029`, `\n`, `\\`, `\"`, `\/`, `\ud83c\udf1e`, "🌞", `\u00e9`}), 1, 5).Draw(t, "s"), "") + `"`
	})
	number := rapid.SampledFrom([]string{"0", "-1", "1.50", "1e3", "-0.0", "123456789012345678901234567890"})
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		if depth == 0 {
			return rapid.OneOf(str, number, rapid.SampledFrom([]string{"true", "false"}))
		}
		array := rapid.Custom(func(t *rapid.T) string {
			return "[ " + strings.Join(rapid.SliceOfN(value(0), 1, 3).Draw(t, "items"), " ,\t") + "]"
		})
		object := rapid.Custom(func(t *rapid.T) string {
			keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 1, 4, rapid.ID).Draw(t, "keys")
			for i, k := range keys {
				keys[i] = `"x` + k + `": ` + value(depth-1).Draw(t, "value")
			}
			return "{" + strings.Join(keys, ",") + " }"
		})
		return rapid.OneOf(value(0), array, object)
	}
	return value(4)
}

// TestCanonicalIsIdempotent checks that a stored resource, loaded again, has the same
// source hash and stored form, and that the stored form is one line for every reader.
func TestCanonicalIsIdempotent(t *testing.T) {
	p := newPreparer(t)
	rapid.Check(t, func(rt *rapid.T) {
		member := jsonValues().Draw(rt, "value")
		typeName := rapid.SampledFrom(fhir.Types()).Draw(rt, "type").String()
		source := `{"other":` + member + `,"id":"a-1.b","resourceType":"` + typeName + `"}`
		if r := prepareTwice(rt, p, source); r != nil {
			rt.Fatalf("%s was refused: %v", source, r)
		}
	})
}

// prepareTwice prepares a text and then its stored form, and compares the results. It
// returns the refusal of the text, if it is refused.
func prepareTwice(t rapid.TB, p *preparer, source string) *Refusal {
	first, r := prepareText(p, source)
	if r != nil {
		return r
	}
	line := first.change.Document.Line(1, stamp)
	if bytes.ContainsAny(line, "\n\r\u0085\u2028\u2029") {
		t.Fatalf("%s is stored on several lines: %q", source, line)
	}
	if _, err := fastjson.ParseBytes(line); err != nil {
		t.Fatalf("the stored form of %s is not JSON: %q", source, line)
	}
	second, r := prepareText(p, string(line))
	if r != nil {
		t.Fatalf("%s is stored as %q, which is refused: %v", source, line, r)
	}
	if got := second.change.Document.Line(1, stamp); !bytes.Equal(got, line) {
		t.Fatalf("%s is stored as\n%s\nand that as\n%s", source, line, got)
	}
	if first.change.SourceHash != second.change.SourceHash || first.change.Visibility != second.change.Visibility {
		t.Fatalf("%s: hash or state differ the second time", source)
	}
	if diff := cmp.Diff(first.change.Entries, second.change.Entries); diff != "" {
		t.Fatalf("%s: entries differ (-first +second):\n%s", source, diff)
	}
	return nil
}

// FuzzLine checks that any bytes are either refused or have a stored form that is stable,
// without a panic.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		org("a"), `{"resourceType":"Practitioner","id":"p","gender":"male","name":[{"family":"W\u00e9n"}],"text":{"status":"generated","div":"<div/>"}}`,
		`{"resourceType":"Location","id":"l","position":{"longitude":1.0,"latitude":-2e1},"alias":["x",null],"_alias":[null,{"id":"1"}]}`,
		`{"resourceType":"Organization","id":"o","extension":[{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed","valueBoolean":true}]}`,
		`{"resourceType":"Endpoint","id":"e","_status":{"extension":[{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/deactivated"}]},"contained":[{"resourceType":"Practitioner","gender":"male"}]}`,
		`{"resourceType":"Bundle","entry":[{"resource":{}}]}`, `[`, `{"a":{"a":[{"":null}]}}`, "\"\\ud800\\u0041\"",
	} {
		f.Add([]byte(seed))
	}
	p := newPreparer(f)
	f.Fuzz(func(t *testing.T, text []byte) { prepareTwice(t, p, string(text)) })
}
