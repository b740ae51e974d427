package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/synth"

	"github.com/google/go-cmp/cmp"
)

// warningsOf loads inputs and returns the summary and the warnings.
func warningsOf(t *testing.T, inputs ...Input) (Summary, collect) {
	t.Helper()
	var warnings collect
	s, err := Run(t.Context(), Config{Directory: newMemory(), Extractor: newExtractor(t), Warnings: &warnings}, inputs)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(warnings)) != s.WarnedTotal() || s.RefusedTotal() > 0 {
		t.Errorf("%d warnings reported, %v counted, %v refused", len(warnings), s.Warned, s.Refused)
	}
	return s, warnings
}

// kindOf maps the faults of generated records to kinds of warnings.
var kindOf = map[string]Kind{
	"bad-luhn":           BadHealthcareID,
	"dangling-reference": Dangling,
	"two-hpio":           ProfileExcess,
	"location-suspended": WrongStatus,
	"unknown-code":       UnknownCode,
	"ahpra-12-digits":    BadAhpra,
	"duplicate-hpii":     SharedHPII,
}

// TestDirtyRecords loads a generated directory. All records are loaded, and the warnings
// are exactly the faults that the generator lists, plus organisations without includeSelf and
// inactive identifiers, which clean data also has (A-01, A-77, SU-14).
func TestDirtyRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: loads a synthetic directory")
	}
	for _, dirty := range []bool{false, true} {
		t.Run(fmt.Sprintf("dirty %v", dirty), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "au")
			manifest, err := synth.Generate(t.Context(), dir, synth.Options{Scale: 1000, Seed: 42, Dirty: dirty})
			if err != nil {
				t.Fatal(err)
			}
			inputs, _, err := Inputs([]string{dir}, nil)
			if err != nil {
				t.Fatal(err)
			}
			slices.Reverse(inputs) // so that most targets come later
			want := map[string]bool{}
			withoutSelf(t, filepath.Join(dir, "Organization.ndjson"), want)
			if len(want) == 0 {
				t.Fatal("no organisation leaves includeSelf out")
			}
			inactive(t, filepath.Join(dir, "Organization.ndjson"), want)
			inactive(t, filepath.Join(dir, "Practitioner.ndjson"), want)
			if dirty {
				broken(t, filepath.Join(dir, "truth", "dirty.jsonl"), want)
			}
			s, warnings := warningsOf(t, inputs...)
			got := map[string]bool{}
			for _, w := range warnings {
				got[warningKey(filepath.Base(w.File), w.Line, w.Type, w.ID, w.Kind)] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%.3000s", diff)
			}
			if len(got) != len(warnings) {
				t.Errorf("%d warnings, of which %d differ", len(warnings), len(got))
			}
			var records int64
			for _, f := range manifest.Files {
				if f.Type != "" {
					records += int64(f.Count)
				}
			}
			if s.Created != records {
				t.Errorf("%d created of %d: warnings must not refuse resources", s.Created, records)
			}
		})
	}
}

// warningKey identifies a warning by its place and kind.
func warningKey(file string, line int, typeName, id string, kind Kind) string {
	return fmt.Sprintf("%s:%d %s/%s %s", file, line, typeName, id, kind)
}

// inactive adds the resources with a deactivated or retired identifier.
func inactive(t *testing.T, path string, want map[string]bool) {
	t.Helper()
	n := 0
	for i, line := range linesOf(t, path) {
		var r struct {
			ResourceType, ID string
			Identifier       []struct {
				Extension []struct{ ValueCoding struct{ Code string } }
			}
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		for _, identifier := range r.Identifier {
			for _, extension := range identifier.Extension {
				if code := extension.ValueCoding.Code; code == "D" || code == "R" {
					want[warningKey(filepath.Base(path), i+1, r.ResourceType, r.ID, InactiveID)] = true
					n++
				}
			}
		}
	}
	if n == 0 {
		t.Fatalf("%s has no inactive identifier", path)
	}
}

// withoutSelf adds the suppressed organisations without includeSelf.
func withoutSelf(t *testing.T, path string, want map[string]bool) {
	t.Helper()
	for n, line := range linesOf(t, path) {
		if bytes.Contains(line, []byte("StructureDefinition/suppressed")) && !bytes.Contains(line, []byte("includeSelf")) {
			var o struct{ ID string }
			if err := json.Unmarshal(line, &o); err != nil {
				t.Fatal(err)
			}
			want[warningKey("Organization.ndjson", n+1, "Organization", o.ID, NoIncludeSelf)] = true
		}
	}
}

// broken adds the faults that the generator lists.
func broken(t *testing.T, path string, want map[string]bool) {
	t.Helper()
	seen := map[string]bool{}
	for _, line := range linesOf(t, path) {
		var b struct {
			File, Type, ID, Kind, Expected string
			Line                           int
		}
		if err := json.Unmarshal(line, &b); err != nil {
			t.Fatal(err)
		}
		if b.Expected != "warned" {
			t.Errorf("%s/%s is expected to be %s", b.Type, b.ID, b.Expected)
		}
		seen[b.Kind] = true
		want[warningKey(b.File, b.Line, b.Type, b.ID, kindOf[b.Kind])] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(kindOf)), slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("faults (-known +generated):\n%s", diff)
	}
}

func linesOf(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func identifierJSON(system, value, more string) string {
	return fmt.Sprintf(`{%s"system":%q,"value":%q}`, more, system, value)
}

// TestProfileRules checks each rule with data that keeps it and data that breaks it.
// Reasons name the element and do not repeat values. Missing and unknown elements are left to
// other tests.
func TestProfileRules(t *testing.T) {
	hpio := identifierJSON(hpioSystem, "8003626566707032", "")
	hspo := identifierJSON(hspoSystem, "8003641000000209", "")
	organization := func(identifiers ...string) string {
		return `{"resourceType":"Organization","id":"x","identifier":[` + strings.Join(identifiers, ",") + `]}`
	}
	practitioner := func(rest string) string { return `{"resourceType":"Practitioner","id":"x",` + rest + `}` }
	class := func(code string) string {
		return identifierJSON(hpioSystem, "8003626566707032", `"extension":[{"url":"`+hiClassURL+`","valueCodeableConcept":{"coding":[{"system":"`+hiClassCodes+`","code":"`+code+`"}]}}],`)
	}
	hiStatus := func(code string) string {
		return identifierJSON(hpiiSystem, "8003619900015717", `"extension":[{"url":"`+hiStatusURL+`","valueCoding":{"system":"`+hiStatusCodes+`","code":"`+code+`"}}],`)
	}
	provision := func(system, code string) string {
		return `{"resourceType":"HealthcareService","id":"x","serviceProvisionCode":[{"coding":[{"system":"` + system + `","code":"` + code + `"}]}]}`
	}
	const removed = " (the element was removed, since the directory does not hold it)"
	const controls = "a string has a backspace, a vertical tab or a form feed, which FHIR does not allow: remove it"
	ahpra := func(value string) string { return identifierJSON(ahpraSystem, value, "") }
	for _, c := range []struct{ name, text, want string }{
		{"HPI-O", organization(hpio), ""},
		{"HSP-O", organization(hspo), ""},
		{"HPI-O check digit", organization(identifierJSON(hpioSystem, "8003626566707033", "")), "identifier[0].value: the HPI-O is not valid: check digit"},
		{"HSP-O prefix", organization(identifierJSON(hspoSystem, "8003626566707032", "")), "identifier[0].value: the HSP-O is not valid: does not start with 800364"},
		{"both", organization(hpio, hspo), "identifier: there are both an HPI-O and an HSP-O"},
		{"neither", organization(ahpra("x")), "identifier: there is neither an HPI-O nor an HSP-O"},
		{"two", organization(hspo, hspo), "identifier: the profile hcpd-organization allows at most 1 of identifier[system=http://ns.electronichealth.net.au/id/hi/hspo/1.0]"},
		{"classification", organization(class("network")), ""},
		{"classification unknown", organization(class("other")), "identifier[0].extension[0]: the classification of the organisation is neither seed nor network"},
		{"HPI-I", practitioner(`"identifier":[` + hiStatus("D") + `]`), "identifier[0].extension[0]: the identifier is deactivated or retired: only active ones should be displayed"},
		{"HPI-I status", practitioner(`"identifier":[` + hiStatus("X") + `]`), "identifier[0].extension[0]: the status of the identifier is not one of A, D and R"},
		{"HPI-I length", practitioner(`"identifier":[` + identifierJSON(hpiiSystem, "80036199000157", "") + `]`), "identifier[0].value: the HPI-I is not valid: not sixteen digits"},
		{"Ahpra", practitioner(`"qualification":[{"identifier":[` + ahpra("MED0000932945") + `]}]`), ""},
		{"Ahpra short", practitioner(`"qualification":[{"code":{"text":"Nurse"}},{"identifier":[` + ahpra("MED000093294") + `]}]`), "qualification[1].identifier[0].value: not three letters and ten digits"},
		{"Ahpra of a role", `{"resourceType":"PractitionerRole","id":"x","identifier":[` + ahpra("med0000932945") + `]}`, "identifier[0].value: not three letters and ten digits"},
		{"Location", `{"resourceType":"Location","id":"x","status":"inactive"}`, ""},
		{"Location without status", `{"resourceType":"Location","id":"x","name":"x"}`, ""},
		{"Location suspended", `{"resourceType":"Location","id":"x","status":"suspended"}`, "status: the status is not one of active and inactive"},
		{"Endpoint", `{"resourceType":"Endpoint","id":"x","status":"suspended"}`, ""},
		{"Endpoint entered in error", `{"resourceType":"Endpoint","id":"x","status":"entered-in-error"}`, "status: the status is not one of active, suspended and off"},
		{"provision", provision(hcpdDefinitions+"CodeSystem/service-provision-cs", "BB"), ""},
		{"provision of 0.3.0", provision("http://terminology.hl7.org.au/CodeSystem/service-provision-conditions", "BBO"), ""},
		{"provision unknown", provision(hcpdDefinitions+"CodeSystem/service-provision-cs", "BBO"), "serviceProvisionCode[0]: the code is not one of NFE, FAP, MIX and BB in their code system"},
		{"birth date", practitioner(`"birthDate":"1970-04-13"`), ""},
		{"birth date in another form", practitioner(`"birthDate":"13/04/1970"`), "birthDate: this is not a date: write a year, month, day or instant, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z" + removed},
		{"photo and gender of another shape", practitioner(`"photo":{"url":"http://x"},"gender":1`), "photo: the element repeats: write an array" + removed + "; gender: this is not a string: put it in quotes" + removed},
		{"birth date of a contained resource", `{"resourceType":"PractitionerRole","id":"x","contained":[{"resourceType":"Practitioner","id":"p","birthDate":70}]}`, "contained[0].birthDate: this is not a date: write a year, month, day or instant, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z" + removed},
		{"vertical tab in a name", `{"resourceType":"Location","id":"x","name":"a\u000bb"}`, "name: " + controls},
		{"form feed and backspace below", `{"resourceType":"Location","id":"x","alias":["a","b\f"],"address":{"line":["\b"]}}`, "alias[1]: " + controls + "; address.line[0]: " + controls},
		{"control character in the name of a member", `{"resourceType":"Location","id":"x","a\fb":"c"}`, "(a member): " + controls},
		{"tab and newline", `{"resourceType":"Location","id":"x","name":"a\tb\nc\r"}`, ""},
		{"dangling reference", `{"resourceType":"Endpoint","id":"x","managingOrganization":{"reference":"Organization/nowhere"}}`, "managingOrganization: the Organization it refers to is not in the directory"},
		{"to another type", `{"resourceType":"Provenance","id":"x","agent":[{"who":{"reference":"Device/d"}}]}`, "agent: the Device it refers to is not in the directory"},
		{"to itself", `{"resourceType":"Location","id":"x","partOf":{"reference":"Location/x"}}`, ""},
		{"reference outside the directory", `{"resourceType":"Location","id":"x","partOf":{"reference":"https://example.org/fhir/Location/y"}}`, ""},
		{"contained resources", `{"resourceType":"Location","id":"x","contained":[{"resourceType":"Endpoint","id":"e","managingOrganization":{"reference":"#"}}],"endpoint":[{"reference":"#e"},{"reference":"#f"}]}`,
			"endpoint: it refers to a contained resource that is not there: add it to contained, or write Type/id; " +
				"endpoint: it is by identifier or leads to a contained resource, so that the suppression or deactivation of that one has no effect here: write Type/id"},
		{"contained resource of another type", `{"resourceType":"Location","id":"x","contained":[{"resourceType":"Patient","id":"p","gender":"Male"}]}`,
			"contained[0]: the elements of a contained resource are checked only if it is one of Organization, Location, Endpoint, HealthcareService, Practitioner, PractitionerRole, Provenance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, warnings := warningsOf(t, text("in", c.text))
			var got []string
			for _, w := range warnings {
				if !slices.Contains([]Kind{MissingElement, ProfileMissing, UnknownElement, NoContent}, w.Kind) {
					got = append(got, w.Reason)
				}
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("warnings %q, want %q", got, c.want)
			}
		})
	}
}

// TestReferencesWait checks references whose target comes later in the load, is already
// stored, or is refused. References beyond the limit are reported as not followed.
func TestReferencesWait(t *testing.T) {
	location := func(id, to string) string {
		return fmt.Sprintf(`{"resourceType":"Location","id":%q,"partOf":{"reference":"Location/%s"}}`, id, to)
	}
	m := newMemory()
	run := func(content string) (kinds []string) {
		var warnings collect
		if _, err := Run(t.Context(), Config{Directory: m, Extractor: newExtractor(t), Warnings: &warnings}, []Input{text("in", content)}); err != nil {
			t.Fatal(err)
		}
		for _, w := range warnings {
			if w.Kind == Dangling || w.Kind == NotFollowed {
				kinds = append(kinds, fmt.Sprint(w.Line, " ", w.ID, " ", w.Kind))
			}
		}
		return kinds
	}
	var many strings.Builder
	for i := range batchItems + 10 {
		fmt.Fprintln(&many, location(fmt.Sprint("l", i), fmt.Sprint("l", i+1)))
	}
	last := fmt.Sprint(batchItems+10, " l", batchItems+9, " ", Dangling)
	if diff := cmp.Diff([]string{last}, run(many.String())); diff != "" {
		t.Errorf("a chain over two batches (-want +got):\n%s", diff)
	}
	if got := run(location("a", "l0")); got != nil {
		t.Errorf("target of an earlier load: %q", got)
	}
	if diff := cmp.Diff([]string{"1 b " + string(Dangling)}, run(location("b", "refused")+"\n"+`{"resourceType":"Location","id":"refused","name":7}`)); diff != "" {
		t.Errorf("refused target (-want +got):\n%s", diff)
	}

	few := newCrossChecks(newMemory(), newExtractor(t))
	few.maxPending = 1
	var warnings collect
	locations := []committed{{id: "x", t: fhir.Location, links: []link{{"partOf", fhir.Reference{Type: "Location", ID: "later"}}, {"partOf", fhir.Reference{Type: "Location", ID: "never"}}}}, {id: "later", t: fhir.Location}}
	if err := few.check(t.Context(), locations, warnings.Reject); err != nil {
		t.Fatal(err)
	}
	if err := few.reportDangling(t.Context(), warnings.Reject); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Kind != NotFollowed || few.pendingCount != 0 {
		t.Errorf("warnings %+v, %d pending; want one not followed and none pending", warnings, few.pendingCount)
	}
}

// TestRemovalsBeyondTheLimit checks that a load says so if it removes more resources than it can
// look for.
func TestRemovalsBeyondTheLimit(t *testing.T) {
	c := newCrossChecks(newMemory(), newExtractor(t))
	c.maxRemoved = 2
	var warnings collect
	for _, id := range []string{"a", "b", "a", "c", "d"} {
		c.remove(&committed{t: fhir.Location, id: id})
	}
	if err := c.reportDangling(t.Context(), warnings.Reject); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Kind != NotFollowed || !strings.Contains(warnings[0].Reason, "more than 2 resources: references to 2 of them") {
		t.Errorf("warnings %+v; want one about two removals", warnings)
	}
}
