package load

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/r4"

	"github.com/google/go-cmp/cmp"
)

// place is an element of a resource: the elements on the way to it, from the root.
type place struct {
	resource string
	way      []r4.Element
	option   int // among the types of the element
}

// places calls visit for every element of the seven types, in every type that can hold it. A
// type is not entered within itself, and extensions only at the root.
func places(t *testing.T, visit func(place)) {
	tables, err := r4.Load()
	if err != nil {
		t.Fatal(err)
	}
	var walk func(resource, typeName string, way []r4.Element, within []string)
	walk = func(resource, typeName string, way []r4.Element, within []string) {
		for _, e := range tables.Elements[typeName] {
			for option, used := range e.Types {
				here := append(slices.Clone(way), only(e, used))
				visit(place{resource, here, option})
				if tables.Elements[used] != nil && !slices.Contains(within, used) && (used != "Extension" || len(way) == 0) {
					walk(resource, used, here, append(within, used))
				}
			}
		}
	}
	for _, of := range fhir.Types() {
		walk(of.String(), of.String(), nil, []string{of.String()})
	}
}

// only returns an element with one of its types.
func only(e r4.Element, typeName string) r4.Element {
	if e.Choice {
		e.Name += strings.ToUpper(typeName[:1]) + typeName[1:]
	}
	e.Types = []string{typeName}
	return e
}

// path returns the FHIRPath of the place, with the index 0 in each list.
func (p place) path() string {
	var names []string
	for _, e := range p.way {
		if e.Many {
			names = append(names, e.Name+"[0]")
		} else {
			names = append(names, e.Name)
		}
	}
	return strings.Join(names, ".")
}

// text returns a resource that has the value at the place, and nothing else on the way to it.
// The member at the place is named name.
func (p place) text(name string, value any) string {
	last := len(p.way) - 1
	for i := last; i >= 0; i-- {
		member := p.way[i].Name
		if i == last {
			member = name
		}
		if p.way[i].Many {
			value = []any{value}
		}
		value = map[string]any{member: value}
	}
	resource := value.(map[string]any)
	resource["resourceType"], resource["id"] = p.resource, "a"
	text, err := json.Marshal(resource)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// isStripped reports whether the directory removes the place for privacy.
func (p place) isStripped() bool {
	if p.resource != "Practitioner" {
		return false
	}
	return slices.Contains([]string{"gender", "birthDate", "photo", "address"}, p.way[0].Name)
}

// isMeta reports whether the store writes the place itself.
func (p place) isMeta() bool {
	return len(p.way) == 2 && p.way[0].Name == "meta" && slices.Contains([]string{"versionId", "lastUpdated"}, p.way[1].Name)
}

// warned returns the reasons of the warnings of a kind about a resource.
func warned(t *testing.T, p *preparer, text string, kind Kind) (reasons []string) {
	t.Helper()
	out, r := prepareText(p, text)
	if r != nil {
		t.Fatalf("%s was refused: %v", text, r)
	}
	for _, w := range out.warnings {
		if w.kind == kind {
			reasons = append(reasons, w.reason)
		}
	}
	return reasons
}

// hasPath reports whether one of the reasons is about the path.
func hasPath(reasons []string, path string) bool {
	return slices.ContainsFunc(reasons, func(reason string) bool { return strings.HasPrefix(reason, path+": ") })
}

// TestRequiredBindings checks every element with a required binding whose codes are listed, in
// every type of FHIR R4 in which the directory can hold it: each right code passes, and a wrong
// one, also one in other letters, is a warning with the path (OB-09).
func TestRequiredBindings(t *testing.T) {
	t.Attr("requirement", "OB-09")
	p := newPreparer(t)
	seen := map[string]bool{}
	places(t, func(at place) {
		e := at.way[len(at.way)-1]
		if e.Codes == nil {
			return
		}
		name := e.Name
		seen[e.ValueSet] = true
		for _, right := range e.Codes {
			if got := warned(t, p, at.text(name, right), UnknownCode); got != nil {
				t.Errorf("%s %s: the right code %s is a warning: %q", at.resource, at.path(), right, got)
			}
		}
		for _, wrong := range []string{"no-such-code", strings.ToUpper(e.Codes[0]) + "X", e.Codes[0] + "-"} {
			got := warned(t, p, at.text(name, wrong), UnknownCode)
			if at.isStripped() {
				if got != nil {
					t.Errorf("%s %s is removed, but is a warning: %q", at.resource, at.path(), got)
				}
				continue
			}
			if !hasPath(got, at.path()) {
				t.Errorf("%s %s: the wrong code %s is not a warning: %q", at.resource, at.path(), wrong, got)
			}
		}
	})
	tables, err := r4.Load()
	if err != nil {
		t.Fatal(err)
	}
	for typeName, elements := range tables.Elements {
		for _, e := range elements {
			if e.Codes != nil && !seen[e.ValueSet] {
				t.Errorf("the value set %s of %s.%s was not checked", e.ValueSet, typeName, e.Name)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d value sets were checked", len(seen))
	}
}

// TestUnknownElements checks that an element that FHIR R4 does not have is a warning with its
// path, in every object that a resource can hold, and that every element that it has is not
// (OB-09).
func TestUnknownElements(t *testing.T) {
	t.Attr("requirement", "OB-09")
	p := newPreparer(t)
	places(t, func(at place) {
		if at.isStripped() || at.isMeta() {
			return
		}
		e := at.way[len(at.way)-1]
		if got := warned(t, p, at.text(e.Name, sample(e)), UnknownElement); got != nil {
			t.Errorf("%s %s is in FHIR R4, but is a warning: %q", at.resource, at.path(), got)
		}
		if !at.way[len(at.way)-1].Many {
			unknown := strings.TrimSuffix(at.path(), e.Name) + "unknown"
			if got := warned(t, p, at.text("unknown", sample(e)), UnknownElement); !hasPath(got, unknown) {
				t.Errorf("%s %s is not a warning: %q", at.resource, unknown, got)
			}
		}
	})
}

// sample returns a value of an element that is not refused.
func sample(e r4.Element) any {
	switch typeName := e.Types[0]; typeName {
	case "boolean":
		return true
	case "decimal", "integer", "positiveInt", "unsignedInt":
		return 1
	case "date", "dateTime":
		return "2026-03-01"
	case "instant":
		return "2026-03-01T09:30:00Z"
	case "time":
		return "09:30:00"
	case "Resource":
		return map[string]any{"resourceType": "Device", "status": "active"}
	default:
		switch {
		case e.Name == "reference":
			return "Organization/x"
		case typeName[0] >= 'a':
			return "x"
		}
		return map[string]any{"id": "x"}
	}
}

// TestMandatoryElements checks every mandatory element: a missing one is a warning with its
// path. One with a value, or with a data-absent-reason instead, is not (OB-09).
func TestMandatoryElements(t *testing.T) {
	t.Attr("requirement", "OB-09")
	p := newPreparer(t)
	n := 0
	places(t, func(at place) {
		e := at.way[len(at.way)-1]
		if e.Min == 0 || at.isStripped() {
			return
		}
		n++
		path := at.path()
		missing := strings.TrimSuffix(path, "[0]")
		if e.Choice {
			missing = strings.TrimSuffix(missing, strings.ToUpper(e.Types[0][:1])+e.Types[0][1:])
		}
		absent := map[string]any{"extension": []any{map[string]any{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}}}
		present := map[string]any{e.Name: sample(e)}
		if e.Types[0][0] >= 'a' {
			present["_"+e.Name] = absent
		} else {
			present[e.Name] = absent
		}
		for name, value := range present {
			if got := warned(t, p, at.text(name, value), MissingElement); hasPath(got, missing) {
				t.Errorf("%s %s is present as %s, but a warning: %q", at.resource, missing, name, got)
			}
		}
		var text string // with another member instead
		switch {
		case e.Many:
			text = at.text("extension", map[string]any{"url": "http://example.org/x", "valueString": "x"})
		case len(at.way) == 1:
			text = at.text("language", "en")
		default:
			text = at.text("id", "x")
		}
		if got := warned(t, p, text, MissingElement); !hasPath(got, missing) {
			t.Errorf("%s %s is missing in %s, but not a warning: %q", at.resource, missing, text, got)
		}
	})
	if n < 20 {
		t.Errorf("only %d mandatory elements were checked", n)
	}
}

// TestRulesOfR4 checks the rules that the definitions of FHIR R4 do not state as a table, each
// with data that keeps it and data that breaks it (OB-09).
func TestRulesOfR4(t *testing.T) {
	t.Attr("requirement", "OB-09")
	long := strings.Repeat("é", 1<<20)
	role := func(period string) string {
		return `{"resourceType":"PractitionerRole","id":"x","period":` + period + `}`
	}
	extension := func(text string) string {
		return `{"resourceType":"Endpoint","id":"x","extension":[` + text + `]}`
	}
	position := func(longitude, latitude string) string {
		return `{"resourceType":"Location","id":"x","position":{"longitude":` + longitude + `,"latitude":` + latitude + `}}`
	}
	telecom := func(text string) string {
		return `{"resourceType":"PractitionerRole","id":"x","telecom":[` + text + `]}`
	}
	organization := func(text string) string { return `{"resourceType":"Organization","id":"x",` + text + `}` }
	const ext, value = `"url":"http://example.org/x"`, `"valueString":"v"`
	const part = `"extension":[{"url":"p","valueCode":"c"}]`
	for _, c := range []struct {
		name, text string
		kind       Kind
		path       string // empty if there is no warning of the kind
	}{
		{"extension", extension(`{` + ext + `,` + value + `}`), BadExtension, ""},
		{"extension of parts", extension(`{` + ext + `,` + part + `}`), BadExtension, ""},
		{"extension with an absent value", extension(`{` + ext + `,"_valueString":{"extension":[{"url":"p","valueCode":"c"}]}}`), BadExtension, ""},
		{"extension without url", extension(`{` + value + `}`), MissingElement, "extension[0].url"},
		{"extension with both", extension(`{` + ext + `,` + value + `,` + part + `}`), BadExtension, "extension[0]"},
		{"extension with neither", extension(`{` + ext + `,"id":"i"}`), BadExtension, "extension[0]"},
		{"extension with two values", extension(`{` + ext + `,` + value + `,"valueCode":"c"}`), SeveralValues, "extension[0].valueCode"},
		{"extension with a value and its extensions", extension(`{` + ext + `,` + value + `,"_valueString":{"id":"i"}}`), SeveralValues, ""},
		{"nested extension with two values", extension(`{` + ext + `,"extension":[{"url":"p","valueCode":"c","valueInteger":1}]}`), SeveralValues, "extension[0].extension[0].valueInteger"},
		{"two times of a Provenance", `{"resourceType":"Provenance","id":"x","occurredDateTime":"2026","occurredPeriod":{"start":"2026"}}`, SeveralValues, "occurredPeriod"},
		{"rank 1", telecom(`{"system":"phone","value":"1","rank":1}`), BadValue, ""},
		{"rank 0", telecom(`{"system":"phone","value":"1","rank":0}`), BadValue, "telecom[0].rank"},
		{"rank -1", telecom(`{"system":"phone","value":"1","rank":-1}`), BadValue, "telecom[0].rank"},
		{"rank of 33 bits", telecom(`{"system":"phone","value":"1","rank":4294967296}`), BadValue, "telecom[0].rank"},
		{"rank of 70 bits", telecom(`{"system":"phone","value":"1","rank":1180591620717411303424}`), BadValue, "telecom[0].rank"},
		{"size of a photo", `{"resourceType":"HealthcareService","id":"x","photo":{"size":-1}}`, BadValue, "photo.size"},
		{"value without system", telecom(`{"value":"1"}`), MissingElement, "telecom[0].system"},
		{"value with an absent system", telecom(`{"value":"1","_system":{"id":"i"}}`), MissingElement, ""},
		{"poles and date line", position("-180.0", "9e1"), BadValue, ""},
		{"latitude 95", position("151", "95"), BadValue, "position.latitude"},
		{"latitude -90.01", position("151", "-90.01"), BadValue, "position.latitude"},
		{"longitude 1512", position("1512", "-33"), BadValue, "position.longitude"},
		{"longitude -180.5", position("-180.5", "-33"), BadValue, "position.longitude"},
		{"no longitude", `{"resourceType":"Location","id":"x","position":{"latitude":1}}`, MissingElement, "position.longitude"},
		{"period", role(`{"start":"2026-03-01","end":"2026-03-01"}`), BadPeriod, ""},
		{"period within a year", role(`{"start":"2026-12-31","end":"2026"}`), BadPeriod, ""},
		{"period that ends in its month", role(`{"start":"2026-03","end":"2026-03-01"}`), BadPeriod, ""},
		{"period of an instant", role(`{"start":"2026-03-01T09:00:00Z","end":"2026-03-01T09:00:00Z"}`), BadPeriod, ""},
		{"period over zones", role(`{"start":"2026-03-01T09:00:00+11:00","end":"2026-02-28T22:00:01Z"}`), BadPeriod, ""},
		{"period that may start late in its zone", role(`{"start":"2026-03-02","end":"2026-03-01T20:00:00Z"}`), BadPeriod, ""},
		{"period that may end late in its zone", role(`{"start":"2026-03-02T09:00:00Z","end":"2026-03-01"}`), BadPeriod, ""},
		{"period that ends before", role(`{"start":"2026-03-02","end":"2026-03-01"}`), BadPeriod, "period"},
		{"period that ends years before", role(`{"start":"2027","end":"2026-12-31"}`), BadPeriod, "period"},
		{"period that ends a second before", role(`{"start":"2026-03-01T09:00:00+11:00","end":"2026-02-28T21:59:59Z"}`), BadPeriod, "period"},
		{"period that ends before in any zone", role(`{"start":"2026-03-03","end":"2026-03-01T20:00:00Z"}`), BadPeriod, "period"},
		{"period without end", role(`{"start":"2026-03-02"}`), BadPeriod, ""},
		{"time without seconds", role(`{"start":"2026-03-02T09:00Z"}`), BadValue, "period.start"},
		{"time without zone", role(`{"start":"2026-03-02T09:00:00"}`), BadValue, "period.start"},
		{"time", role(`{"start":"2026-03-02T09:00:00.5Z"}`), BadValue, ""},
		{"time in a date", extension(`{` + ext + `,"valueDate":"2026-03-02T09:00:00Z"}`), BadValue, "extension[0].valueDate"},
		{"string of 1 MB", organization(`"name":"` + long + `"`), LongString, ""},
		{"string over 1 MB", organization(`"name":"` + long + `x"`), LongString, "name"},
		{"markdown over 1 MB", extension(`{` + ext + `,"valueMarkdown":"` + long + `x"}`), LongString, "extension[0].valueMarkdown"},
		{"only an id", `{"resourceType":"Location","id":"x"}`, NoContent, "Location"},
		{"only an id and meta", `{"resourceType":"Location","id":"x","meta":{"profile":["http://example.org/p"]}}`, NoContent, "Location"},
		{"only an id and a birth date", `{"resourceType":"Practitioner","id":"x","birthDate":"1970-01-01"}`, NoContent, "Practitioner"},
		{"an id and a status", `{"resourceType":"Location","id":"x","status":"active"}`, NoContent, ""},
		{"neither identifier nor name", organization(`"active":true`), MissingElement, "name"},
		{"a masked name", organization(`"_name":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}`), MissingElement, ""},
		{"home of an Organization", organization(`"name":"x","address":[{"use":"work"},{"use":"home"}]`), BadValue, "address[1].use"},
		{"phone of an Organization at home", organization(`"name":"x","telecom":[{"system":"phone","value":"1","use":"home"}]`), BadValue, "telecom[0].use"},
		{"OID", extension(`{` + ext + `,"valueOid":"urn:oid:1.2.36"}`), BadValue, ""},
		{"OID without prefix", extension(`{` + ext + `,"valueOid":"1.2.36"}`), BadValue, "extension[0].valueOid"},
		{"UUID", extension(`{` + ext + `,"valueUuid":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}`), BadValue, ""},
		{"UUID in capitals", extension(`{` + ext + `,"valueUuid":"urn:uuid:C757873D-EC9A-4326-A141-556F43239520"}`), BadValue, "extension[0].valueUuid"},
		{"base64", extension(`{` + ext + `,"valueBase64Binary":"aGVsbG8="}`), BadValue, ""},
		{"not base64", extension(`{` + ext + `,"valueBase64Binary":"a_b"}`), BadValue, "extension[0].valueBase64Binary"},
		{"narrative", organization(`"name":"x","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}`), BadValue, ""},
		{"narrative without div", organization(`"name":"x","text":{"status":"generated","div":"x"}`), BadValue, "text.div"},
		{"contained resource of another type", organization(`"name":"x","contained":[{"resourceType":"Device","id":"d","deviceName":[{"name":"n"}]}]`), UnknownElement, ""},
		{"contained datatype", organization(`"name":"x","contained":[{"resourceType":"Period","id":"d","x":1}]`), UnknownElement, ""},
		{"contained Location", organization(`"name":"x","contained":[{"resourceType":"Location","id":"d","x":1}]`), UnknownElement, "contained[0].x"},
		{"contained without type", organization(`"name":"x","contained":[{"id":"d"}]`), MissingElement, "contained[0].resourceType"},
		{"contained with a wrong id", organization(`"name":"x","contained":[{"resourceType":"Location","id":"d d"}]`), BadValue, "contained[0].id"},
		{"extensions of an object beside it", organization(`"name":"x","_partOf":{"id":"i"}`), UnknownElement, "_partOf"},
		{"name that may be a value", organization(`"name":"x","Wen 0412":1`), UnknownElement, "(a member)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := warned(t, newPreparer(t), c.text, c.kind)
			if c.kind == MissingElement { // those of other elements are another test
				got = slices.DeleteFunc(got, func(reason string) bool {
					return !strings.HasPrefix(reason, c.path+": ") && strings.HasSuffix(reason, "or its data-absent-reason")
				})
			}
			switch {
			case c.path == "" && got != nil:
				t.Errorf("warnings %q, want none", got)
			case c.path != "" && (len(got) != 1 || !hasPath(got, c.path)):
				t.Errorf("warnings %q, want one about %s", got, c.path)
			}
		})
	}
}

// TestWarningsAreBounded checks that a resource with many faults has a bounded number of
// warnings, which a last one counts.
func TestWarningsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"resourceType":"Endpoint","id":"x"`)
	for i := range MaxMembers - 2 {
		fmt.Fprintf(&text, `,"x%d":1`, i)
	}
	text.WriteString(`}`)
	out, r := prepareText(newPreparer(t), text.String())
	if r != nil {
		t.Fatal(r)
	}
	last := out.warnings[len(out.warnings)-1]
	if len(out.warnings) != maxWarnings+1 || last.kind != MoreWarnings {
		t.Errorf("%d warnings, the last is %v; want %d and their number", len(out.warnings), last, maxWarnings+1)
	}
}

// TestElementsAgree checks that the lists of elements that package fhir has for responses name
// the same elements as the definitions.
func TestElementsAgree(t *testing.T) {
	tables, err := r4.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range fhir.Types() {
		want := map[string]string{}
		for _, e := range tables.Elements[of.String()] {
			want[e.Name] = fmt.Sprint(e.Choice, e.Min == 1 || e.Name == "id" || e.Name == "meta") // muster always has an id and meta
		}
		got := map[string]string{}
		for _, e := range fhir.Elements(of) {
			got[e.Name] = fmt.Sprint(e.Choice, e.Required)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-definitions +package fhir):\n%s", of, diff)
		}
	}
}
