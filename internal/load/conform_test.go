package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/r4"

	"github.com/google/go-cmp/cmp"
)

// conforming returns one resource for each profile, by the id of the profile.
func conforming(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "conforming.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	byProfile := map[string]string{}
	for line := range bytes.Lines(text) {
		var resource struct{ Meta struct{ Profile []string } }
		if err := json.Unmarshal(line, &resource); err != nil {
			t.Fatal(err)
		}
		profile := resource.Meta.Profile[0]
		byProfile[profile[strings.LastIndexByte(profile, '/')+1:]] = string(bytes.TrimSpace(line))
	}
	return byProfile
}

// TestConforming loads a resource that conforms to each profile, in both modes, without a
// warning (OB-09).
func TestConforming(t *testing.T) {
	t.Attr("requirement", "OB-09")
	for _, strict := range []bool{false, true} {
		var warnings, rejects collect
		var lines []string
		for _, line := range conforming(t) {
			lines = append(lines, line)
		}
		s, err := Run(t.Context(), Config{Directory: newMemory(), Extractor: newExtractor(t), Strict: strict, Warnings: &warnings, Rejects: &rejects}, []Input{text("in", strings.Join(lines, "\n"))})
		if err != nil {
			t.Fatal(err)
		}
		if s.Created != 8 || len(warnings) > 0 || len(rejects) > 0 {
			t.Errorf("strict %v: created %d, warnings %v, rejects %v", strict, s.Created, warnings, rejects)
		}
	}
}

// TestProfileCardinalities breaks each rule of profiles.tsv in a resource that conforms: too
// few items are a warning with the path, and too many are another (OB-09).
func TestProfileCardinalities(t *testing.T) {
	t.Attr("requirement", "OB-09")
	tables, err := r4.Load()
	if err != nil {
		t.Fatal(err)
	}
	resources := conforming(t)
	p := newPreparer(t)
	for _, rule := range tables.Profiles {
		name := fmt.Sprint(rule.Profile, " ", rule.Path)
		last := &rule.Path[len(rule.Path)-1]
		h := holderOf(t, tables, resources[rule.Profile], rule)
		without := h.with(slices.DeleteFunc(h.items(), func(item any) bool { return matches(last, item) }))
		got := warned(t, p, without, ProfileMissing)
		switch {
		case rule.Min == 0 || isDerived(rule):
			if hasPath(got, h.path) {
				t.Errorf("%s: %s may be missing, but is a warning: %q\n%s", name, h.path, got, without)
			}
		case !hasPath(got, h.path):
			t.Errorf("%s: %s is missing, but not a warning: %q\n%s", name, h.path, got, without)
		}
		if rule.Max < 0 || !h.many || rule.Type == "PractitionerRole" && last.Name == "code" { // TestFirstRoleCode
			continue
		}
		items := h.items()
		for range rule.Max + 1 {
			items = append(items, h.item(last))
		}
		if got := warned(t, p, h.with(items), ProfileExcess); !hasPath(got, h.path) {
			t.Errorf("%s: there are too many of %s, but no warning: %q\n%s", name, h.path, got, h.with(items))
		}
	}
}

// isDerived reports whether the directory adds what the rule requires: a local identifier,
// which is also the second of two identifiers.
func isDerived(rule r4.Rule) bool {
	step := rule.Path[0]
	return len(rule.Path) == 1 && step.Name == "identifier" && step.Where != nil && step.Where[0].Value == localSystem
}

// holder is the object whose member the last step of a rule counts.
type holder struct {
	root, object map[string]any
	member, path string
	many         bool   // the member is a list
	typeName     string // of its items
}

// holderOf returns the first object whose member the rule counts. Items of the steps before
// that the resource does not have are added to it.
func holderOf(t *testing.T, tables *r4.Tables, text string, rule r4.Rule) holder {
	t.Helper()
	root := map[string]any{}
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	h := holder{root: root, object: root}
	typeName := rule.Type
	for i := range rule.Path {
		step := &rule.Path[i]
		at := slices.IndexFunc(tables.Elements[typeName], func(e r4.Element) bool { return e.Name == step.Name })
		if at < 0 {
			t.Fatalf("%s has no element %s", typeName, step.Name)
		}
		e := tables.Elements[typeName][at]
		typeName, h.member, h.many = e.Types[0], step.Name, e.Many
		h.typeName = typeName
		if i == len(rule.Path)-1 {
			break
		}
		if !e.Many {
			if h.object[step.Name] == nil {
				h.object[step.Name] = itemOf(step)
			}
			h.object, h.path = h.object[step.Name].(map[string]any), h.path+step.Name+"."
			continue
		}
		list, _ := h.object[step.Name].([]any)
		n := slices.IndexFunc(list, func(item any) bool { return matches(step, item) })
		if n < 0 {
			n = len(list)
			list = append(list, itemOf(step))
			h.object[step.Name] = list
		}
		h.object, h.path = list[n].(map[string]any), h.path+indexed(step.Name, n)+"."
	}
	h.path += h.member
	return h
}

// itemOf returns an item that meets the conditions of a step.
func itemOf(step *r4.Step) map[string]any {
	item := map[string]any{"id": "added"}
	for _, c := range step.Where {
		item[c.Member] = c.Value
		if system, code, coded := strings.Cut(c.Value, "|"); coded {
			item[c.Member] = map[string]any{"coding": []any{map[string]any{"system": system, "code": code}}}
		}
	}
	return item
}

// item returns another item of the member.
func (h holder) item(step *r4.Step) any {
	if h.typeName[0] >= 'a' {
		return "x"
	}
	return itemOf(step)
}

// items returns the items of the member.
func (h holder) items() []any {
	if list, ok := h.object[h.member].([]any); ok {
		return slices.Clone(list)
	}
	if h.object[h.member] == nil {
		return nil
	}
	return []any{h.object[h.member]}
}

// with returns the resource with other items of the member, and leaves h as it was.
func (h holder) with(items []any) string {
	before, had := h.object[h.member]
	defer func() {
		if h.object[h.member] = before; !had {
			delete(h.object, h.member)
		}
	}()
	switch {
	case len(items) == 0:
		delete(h.object, h.member)
		if h.object["id"] == nil {
			h.object["id"] = "still-an-object"
		}
	case h.many:
		h.object[h.member] = items
	default:
		h.object[h.member] = items[0]
	}
	text, err := json.Marshal(h.root)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// matches reports whether an item meets the conditions of a step.
func matches(step *r4.Step, item any) bool {
	object, _ := item.(map[string]any)
	for _, c := range step.Where {
		system, code, coded := strings.Cut(c.Value, "|")
		if !coded {
			if object[c.Member] != c.Value {
				return false
			}
			continue
		}
		concept, _ := object[c.Member].(map[string]any)
		codings, _ := concept["coding"].([]any)
		if !slices.ContainsFunc(codings, func(one any) bool {
			coding, _ := one.(map[string]any)
			return coding["system"] == system && coding["code"] == code
		}) {
			return false
		}
	}
	return true
}

// TestFirstRoleCode checks that only the first code of a PractitionerRole is kept, with a
// warning (OB-08), that loading it again changes nothing, and that codings within the code
// stay.
func TestFirstRoleCode(t *testing.T) {
	t.Attr("requirement", "OB-08")
	p := newPreparer(t)
	const first = `{"coding":[{"system":"http://snomed.info/sct","code":"1"},{"system":"http://example.org","code":"2"}]}`
	source := `{"resourceType":"PractitionerRole","id":"r","code":[` + first + `,{"text":"b"},{"text":"c"}],"active":true}`
	line := stored(t, p, source)
	if !strings.Contains(line, `"code":[`+first+`],"active":true`) {
		t.Errorf("stored as %s", line)
	}
	if got := warned(t, p, source, FurtherRoleCode); !hasPath(got, "code") {
		t.Errorf("warnings %q", got)
	}
	if got := warned(t, p, line, FurtherRoleCode); got != nil {
		t.Errorf("the stored form has warnings: %q", got)
	}
	if r := prepareTwice(t, p, source); r != nil {
		t.Errorf("refused: %v", r)
	}
	other := `{"resourceType":"HealthcareService","id":"h","type":[{"text":"a"},{"text":"b"}]}`
	if line := stored(t, p, other); !strings.Contains(line, `[{"text":"a"},{"text":"b"}]`) {
		t.Errorf("a list of another type is stored as %s", line)
	}
}

// TestRoleSpecialty checks that a specialty of a PractitionerRole is a warning and is kept
// (OB-03).
func TestRoleSpecialty(t *testing.T) {
	t.Attr("requirement", "OB-03")
	source := strings.Replace(conforming(t)["hcpd-practitionerrole"], `"period":`, `"specialty":[{"text":"Cardiology"}],"period":`, 1)
	p := newPreparer(t)
	if got := warned(t, p, source, RoleSpecialty); !hasPath(got, "specialty") {
		t.Errorf("warnings %q", got)
	}
	if line := stored(t, p, source); !strings.Contains(line, "Cardiology") {
		t.Errorf("stored as %s", line)
	}
}

// TestInactiveIdentifier checks that an identifier that the HI Service has deactivated or
// retired is a warning with its place (SU-14).
func TestInactiveIdentifier(t *testing.T) {
	t.Attr("requirement", "SU-14")
	p := newPreparer(t)
	for _, profile := range []string{"hcpd-practitioner", "hcpd-organization"} {
		for code, want := range map[string]bool{"A": false, "D": true, "R": true} {
			source := strings.Replace(conforming(t)[profile], `"code":"A"`, `"code":"`+code+`"`, 1)
			got := warned(t, p, source, InactiveID)
			if want != hasPath(got, "identifier[0].extension[0]") || !want && got != nil {
				t.Errorf("%s with status %s: warnings %q", profile, code, got)
			}
		}
	}
}

// TestSharedLocalIdentifier checks that a local identifier of a publisher that a resource of
// any type has already is a warning; the same resource may have it again (OB-04).
func TestSharedLocalIdentifier(t *testing.T) {
	t.Attr("requirement", "OB-04")
	line := func(of fhir.Type, id, local string) string {
		return fmt.Sprintf(`{"resourceType":%q,"id":%q,"identifier":[{"system":%q,"value":%q}]}`, of, id, localSystem, local)
	}
	old := strings.Replace(line(fhir.Location, "old", "one"), "hcpd-local-identifier", "hc-local-identifier", 1)
	lines := []string{
		line(fhir.Location, "a", "one"), line(fhir.Location, "a", "one"), line(fhir.Location, "b", "two"),
		line(fhir.Endpoint, "a", "one"), line(fhir.Location, "c", "two"), old,
		`{"resourceType":"Location","id":"d"}`, `{"resourceType":"Location","id":"e"}`,
	}
	_, warnings := warningsOf(t, text("in", strings.Join(lines, "\n")))
	var got []string
	for _, w := range warnings {
		if w.Kind == SharedLocalID {
			got = append(got, fmt.Sprint(w.Line, " ", w.Type, "/", w.ID, " ", strings.HasPrefix(w.Reason, "identifier: ")))
		}
	}
	if diff := cmp.Diff([]string{"4 Endpoint/a true", "5 Location/c true", "6 Location/old true"}, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestStrict checks that a strict load refuses exactly the resources with warnings of kinds
// that are not tolerated, with the reasons, and that other warnings stay warnings (OB-09).
func TestStrict(t *testing.T) {
	t.Attr("requirement", "OB-09")
	resources := conforming(t)
	change := func(profile, before, after string) string {
		if !strings.Contains(resources[profile], before) {
			t.Fatalf("%s has no %s", profile, before)
		}
		return strings.Replace(resources[profile], before, after, 1)
	}
	suppressed := func(parts string) string {
		return change("hcpd-organization", `"active":true`, `"active":true,"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[`+parts+`]}]`)
	}
	const by = `{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"organisation-initiated"}]}}`
	hspo := `{"type":{"text":"HSP-O"},"extension":[` +
		`{"url":"` + hiStatusURL + `","valueCoding":{"system":"` + hiStatusCodes + `","code":"A"}},` +
		`{"url":"` + hiClassURL + `","valueCodeableConcept":{"coding":[{"system":"` + hiClassCodes + `","code":"seed"}]}}` +
		`],"system":"` + hspoSystem + `","value":"8003641000000209"}`
	for _, c := range []struct {
		name, text string
		kind       Kind
		tolerated  bool
	}{
		{"unknown element", change("hcpd-organization", `"active"`, `"nickname":"x","active"`), UnknownElement, false},
		{"mandatory element", change("hcpd-provenance", `"recorded":"2026-03-01T09:30:00+11:00",`, ``), MissingElement, false},
		{"two values", change("hcpd-provenance", `"recorded"`, `"occurredPeriod":{"start":"2026"},"recorded"`), SeveralValues, false},
		{"code", change("hcpd-location", `"daysOfWeek":["mon"]`, `"daysOfWeek":["monday"]`), UnknownCode, false},
		{"code of the guide", change("hcpd-healthcareservice", `"code":"BB"`, `"code":"XX"`), UnknownCode, false},
		{"value", change("hcpd-organization", `"rank":1`, `"rank":0`), BadValue, false},
		{"extension", change("hcpd-location", `"status"`, `"extension":[{"url":"http://example.org/x"}],"status"`), BadExtension, false},
		{"period", change("hcpd-practitionerrole", `{"start":"2020-01"}`, `{"start":"2020-01","end":"2019"}`), BadPeriod, false},
		{"long string", change("hcpd-organization", `"name":"`, `"name":"`+strings.Repeat("x", maxString)), LongString, false},
		{"only an id", `{"resourceType":"Location","id":"x"}`, NoContent, false},
		{"many warnings", change("hcpd-organization", `"active"`, manyMembers()+`"active"`), MoreWarnings, false},
		{"HPI-O", change("hcpd-organization", "8003626566707032", "8003626566707033"), BadHealthcareID, false},
		{"Ahpra", change("hcpd-practitioner", "MED0000932945", "MED00009329"), BadAhpra, false},
		{"no HPI-O", change("hcpd-organization", "hi/hpio/1.0", "other"), NoOrganisationID, false},
		{"status", change("hcpd-location", `"status":"active"`, `"status":"suspended"`), WrongStatus, false},
		{"element of a profile", change("hcpd-organization", `"active":true,`, ``), ProfileMissing, false},
		{"two names", change("hcpd-practitioner", `"use":"usual"`, `"use":"official"`), ProfileExcess, false},
		{"specialty", change("hcpd-practitionerrole", `"active"`, `"specialty":[{"text":"x"}],"active"`), RoleSpecialty, false},

		{"both identifiers", change("hcpd-organization", `{"type":{"text":"ABN"}`, hspo+`,{"type":{"text":"ABN"}`), BothOrganisationIDs, true},
		{"inactive identifier", change("hcpd-practitioner", `"code":"A"`, `"code":"R"`), InactiveID, true},
		{"further code", change("hcpd-practitionerrole", `"code":[{"coding":[{"system":"http://snomed.info/sct"`, `"code":[{"text":"first"},{"coding":[{"system":"http://snomed.info/sct"`), FurtherRoleCode, true},
		{"suppression", suppressed(`{"url":"x","valueCode":"y"}`), BadSuppression, true},
		{"no includeSelf", suppressed(by), NoIncludeSelf, true},
		{"dangling reference", resources["hcpd-location"], Dangling, true},
		{"reference by identifier", change("hcpd-practitionerrole", `"practitioner":{"reference":"Practitioner/p"}`, `"practitioner":{"identifier":{"value":"x"}}`), HidesNothing, true},
		{"same HPI-I", resources["hcpd-practitioner"] + "\n" + change("hcpd-practitioner", `"id":"p"`, `"id":"q"`), SharedHPII, true},
		{"same local identifier", resources["hcpd-location"] + "\n" + change("hcpd-location", `"id":"l"`, `"id":"m"`), SharedLocalID, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, warnings := warningsOf(t, text("in", c.text))
			if !slices.ContainsFunc(warnings, func(w Rejected) bool { return w.Kind == c.kind }) {
				t.Fatalf("warnings %v, want one of %q", warnings, c.kind)
			}
			if c.kind.Tolerated() != c.tolerated {
				t.Fatalf("%q is tolerated: %v, want %v", c.kind, c.kind.Tolerated(), c.tolerated)
			}
			var strict, rejects collect
			s, err := Run(t.Context(), Config{Directory: newMemory(), Extractor: newExtractor(t), Strict: true, Warnings: &strict, Rejects: &rejects}, []Input{text("in", c.text)})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.tolerated && (len(rejects) > 0 || !cmp.Equal(strict, warnings)):
				t.Errorf("refused %v, warnings %v, want none refused and the same warnings", rejects, strict)
			case !c.tolerated && (s.Created != 0 || s.Refused[c.kind]+s.Refused[firstKind(warnings)] == 0 || len(strict) > 0):
				t.Errorf("created %d, refused %v, warnings %v, want a refusal", s.Created, s.Refused, strict)
			case !c.tolerated && (rejects[0].Line != 1 || !strings.Contains(rejects[0].Reason, warnings[0].Reason)):
				t.Errorf("refused as %+v, want the reason %s", rejects[0], warnings[0].Reason)
			}
		})
	}
}

// manyMembers returns more unknown members than a resource may have warnings.
func manyMembers() string {
	var b strings.Builder
	for i := range maxWarnings + 10 {
		fmt.Fprintf(&b, `"x%d":1,`, i)
	}
	return b.String()
}

// firstKind returns the first kind of a list that a strict load does not tolerate.
func firstKind(warnings collect) Kind {
	for _, w := range warnings {
		if !w.Kind.Tolerated() {
			return w.Kind
		}
	}
	return ""
}

// TestStrictHides checks that a resource that a strict load refuses hides its stored version
// if it says that it is suppressed (SU-01).
func TestStrictHides(t *testing.T) {
	m := newMemory()
	var rejects collect
	run := func(content string) Summary {
		s, err := Run(t.Context(), Config{Directory: m, Extractor: newExtractor(t), Strict: true, Rejects: &rejects}, []Input{text("in", content)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	line := conforming(t)["hcpd-location"]
	if s := run(line); s.Created != 1 {
		t.Fatalf("created %d: %v", s.Created, rejects)
	}
	s := run(strings.Replace(line, `"status":"active"`, `"nickname":"x","status":"inactive"`, 1))
	if s.Kept[NowHidden] != 1 {
		t.Errorf("kept %v: %v", s.Kept, rejects)
	}
}
