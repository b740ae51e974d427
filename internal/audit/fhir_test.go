package audit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// r4 are the published definitions of AuditEvent (testdata/auditevent.tsv).
type r4 struct {
	elements map[string]r4Element       // by path
	codes    map[string]map[string]bool // by value set: system and code
}

type r4Element struct {
	min      string
	list     bool
	typeName string
	valueSet string
}

func readR4(t *testing.T) r4 {
	t.Helper()
	data, err := os.ReadFile("testdata/auditevent.tsv")
	if err != nil {
		t.Fatal(err)
	}
	d := r4{map[string]r4Element{}, map[string]map[string]bool{}}
	for line := range strings.Lines(string(data)) {
		switch cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(cells) {
		case 5:
			d.elements[cells[0]] = r4Element{cells[1], cells[2] == "*", cells[3], cells[4]}
		case 3:
			if d.codes[cells[0]] == nil {
				d.codes[cells[0]] = map[string]bool{}
			}
			d.codes[cells[0]][cells[1]+" "+cells[2]] = true
		}
	}
	return d
}

// forms are the forms of the values of primitive types.
var forms = map[string]*regexp.Regexp{
	"id":           regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`),
	"code":         regexp.MustCompile(`^[^\s]+( [^\s]+)*$`),
	"string":       regexp.MustCompile(`^[\t\n\r\x20-\x{10ffff}]*[^\t\n\r\x20][\t\n\r\x20-\x{10ffff}]*$`),
	"uri":          regexp.MustCompile(`^\S+$`),
	"instant":      regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`),
	"base64Binary": regexp.MustCompile(`^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$`),
}

// check returns what is wrong with an element of that path and type.
func (d r4) check(path, typeName, valueSet string, value any) (wrong []string) {
	members, isObject := value.(map[string]any)
	if form := forms[typeName]; form != nil {
		text, ok := value.(string)
		if !ok || !form.MatchString(text) {
			return []string{fmt.Sprintf("%s: %v is not a %s", path, value, typeName)}
		}
		for system := range d.systems(valueSet) {
			if d.codes[valueSet][system+" "+text] {
				return nil
			}
		}
		if d.codes[valueSet] != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %s is not in %s", path, text, valueSet))
		}
		return wrong
	}
	if typeName == "boolean" {
		if _, ok := value.(bool); !ok {
			wrong = append(wrong, path+" is not a boolean")
		}
		return wrong
	}
	if !isObject || len(members) == 0 {
		return []string{path + " has no members"}
	}
	if typeName == "Coding" && !d.codes[valueSet][fmt.Sprint(members["system"], " ", members["code"])] {
		wrong = append(wrong, fmt.Sprintf("%s: %v is not in %s", path, members, valueSet))
	}
	within := path
	if _, ok := d.elements[typeName+".display"]; ok || typeName == "Identifier" {
		within = typeName
	}
	return append(wrong, d.checkMembers(path, within, members)...)
}

func (d r4) systems(valueSet string) map[string]bool {
	all := map[string]bool{}
	for code := range d.codes[valueSet] {
		system, _, _ := strings.Cut(code, " ")
		all[system] = true
	}
	return all
}

// checkMembers checks the members of an object whose elements are defined below a path.
func (d r4) checkMembers(path, within string, members map[string]any) (wrong []string) {
	for name, value := range members {
		e, ok := d.elements[within+"."+name]
		values, isList := value.([]any)
		switch {
		case !ok:
			wrong = append(wrong, path+" has no element "+name)
			continue
		case isList != e.list || isList && len(values) == 0:
			wrong = append(wrong, fmt.Sprintf("%s.%s: it is a list: %t", path, name, e.list))
			continue
		case !isList:
			values = []any{value}
		}
		for _, v := range values {
			wrong = append(wrong, d.check(path+"."+name, e.typeName, e.valueSet, v)...)
		}
	}
	for element, e := range d.elements {
		name, ok := strings.CutPrefix(element, within+".")
		if ok && !strings.Contains(name, ".") && e.min != "0" && members[name] == nil {
			wrong = append(wrong, path+" has no "+name)
		}
	}
	return wrong
}

// checkEvent returns what is wrong with an AuditEvent.
func (d r4) checkEvent(t interface{ Fatal(...any) }, text []byte) (event map[string]any, wrong []string) {
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	members := maps.Clone(event)
	if members["resourceType"] != "AuditEvent" {
		wrong = append(wrong, "it is not an AuditEvent")
	}
	delete(members, "resourceType")
	wrong = append(wrong, d.checkMembers("AuditEvent", "AuditEvent", members)...)
	for _, entity := range event["entity"].([]any) {
		e := entity.(map[string]any)
		if e["name"] != nil && e["query"] != nil {
			wrong = append(wrong, "sev-1: name and query")
		}
		for _, detail := range e["detail"].([]any) {
			if d := detail.(map[string]any); d["valueString"] == nil {
				wrong = append(wrong, "a detail has no value")
			}
		}
	}
	slices.Sort(wrong)
	return event, wrong
}

// TestFHIR checks that random events of any kind are written as AuditEvents that FHIR R4 allows.
func TestFHIR(t *testing.T) {
	t.Attr("requirements", "AD-01")
	definitions := readR4(t)
	anyText := rapid.OneOf(rapid.Just(""), rapid.Just(" "), rapid.Just("a\x00b"), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{N: 1, Event: Event{Time: time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time"))}}
		if rapid.Bool().Draw(t, "notice") {
			e.Log = Notice{rapid.SampledFrom([]NoticeKind{Begun, Continued, Repaired, Lost}).Draw(t, "kind"), rapid.IntRange(0, 9).Draw(t, "events"), rapid.Int64Range(0, 9).Draw(t, "cut"), anyText.Draw(t, "text")}
		} else {
			e.Interaction = rapid.SampledFrom(append(Interactions(), "later")).Draw(t, "interaction")
			e.RequestID, e.Principal, e.Path, e.Query = anyText.Draw(t, "id"), anyText.Draw(t, "principal"), anyText.Draw(t, "path"), anyText.Draw(t, "query")
			e.Client, e.Job, e.File = anyText.Draw(t, "client"), anyText.Draw(t, "job"), anyText.Draw(t, "file")
			e.Issuer = rapid.SampledFrom([]string{"", "https://issuer.example"}).Draw(t, "issuer")
			e.Scopes = rapid.SampledFrom([][]string{nil, {"search", "read"}}).Draw(t, "scopes")
			e.Remote = rapid.SampledFrom([]string{"", "192.0.2.7", "2001:db8::1"}).Draw(t, "remote")
			e.Filters = rapid.SliceOf(anyText).Draw(t, "filters")
			e.Status = rapid.SampledFrom([]int{0, 200, 202, 400, 404, 429, 500, 503}).Draw(t, "status")
			e.Broken = rapid.Bool().Draw(t, "broken")
			e.Statuses = rapid.SampledFrom([]map[string]int{nil, {"404": 1, "429": 1000}}).Draw(t, "statuses")
		}
		text, err := FHIR(e, []byte("line\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, wrong := definitions.checkEvent(t, text); len(wrong) > 0 {
			t.Fatalf("%s\n%s", strings.Join(wrong, "\n"), text)
		}
	})
}

// TestFHIRElements checks what the elements of an AuditEvent have.
func TestFHIRElements(t *testing.T) {
	definitions := readR4(t)
	at := time.Date(2026, 3, 1, 9, 30, 0, 5e6, time.UTC)
	for _, c := range []struct {
		entry                                  Entry
		code, subtype, action, outcome, entity string
	}{
		{Entry{Event: Event{Time: at, RequestID: "r1", Principal: "anonymous", Remote: "192.0.2.7", Interaction: SearchType, Path: "/fhir/Practitioner", Query: "family=Smith", Status: 200}},
			"rest", "search-type", "E", "0", `{"detail":"…","query":"` + base64.StdEncoding.EncodeToString([]byte("family=Smith")) + `","role":"24","type":"2"}`},
		{Entry{Event: Event{Time: at, RequestID: "r1", Principal: "anonymous", Interaction: KickOff, Filters: []string{"Practitioner?family=A&b=c"}, Since: "2026-01-01T00:00:00.000Z", Job: "j1", Status: 202}},
			"rest", "operation", "E", "0", `{"detail":"…","query":"` + base64.StdEncoding.EncodeToString([]byte("_typeFilter=Practitioner%3Ffamily%3DA%26b%3Dc&_since=2026-01-01T00%3A00%3A00.000Z")) + `","role":"24","type":"2","what":{"identifier":{"value":"j1"}}}`},
		{Entry{Event: Event{Time: at, RequestID: "r1", Interaction: Read, Path: "/fhir/Organization/o1", Status: 404}},
			"rest", "read", "R", "4", `{"detail":"…","role":"4","type":"2","what":{"reference":"Organization/o1"}}`},
		{Entry{Event: Event{Time: at, RequestID: "r1", Interaction: Download, Path: "/fhir/Binary/b1", Job: "j1", Status: 200, Broken: true}},
			"rest", "read", "R", "8", `{"detail":"…","role":"4","type":"2","what":{"reference":"Binary/b1"}}`},
		{Entry{Event: Event{Time: at, RequestID: "r1", Interaction: Cancel, Job: "j1", Status: 500}},
			"rest", "delete", "D", "8", `{"detail":"…","role":"20","type":"2","what":{"identifier":{"value":"j1"}}}`},
		{Entry{Event: Event{Time: at}, Log: Notice{Kind: Lost, Events: 3}},
			"110100", "", "E", "8", `{"detail":"…","type":"2","what":{"display":"audit log"}}`},
	} {
		text, err := FHIR(c.entry, []byte("line\n"))
		if err != nil {
			t.Fatal(err)
		}
		event, wrong := definitions.checkEvent(t, text)
		if len(wrong) > 0 {
			t.Errorf("%s\n%s", strings.Join(wrong, "\n"), text)
		}
		subtype := ""
		if all, ok := event["subtype"].([]any); ok {
			subtype = all[0].(map[string]any)["code"].(string)
		}
		entity := event["entity"].([]any)[0].(map[string]any)
		if details, err := json.Marshal(entity["detail"]); err != nil || c.entry.RequestID != "" && !strings.Contains(string(details), `{"type":"X-Request-ID","valueString":"r1"}`) {
			t.Errorf("the details are %s, %v", details, err)
		}
		entity["detail"] = "…"
		for _, name := range []string{"type", "role"} {
			if coded, ok := entity[name].(map[string]any); ok {
				entity[name] = coded["code"]
			}
		}
		got, err := json.Marshal(entity)
		if err != nil {
			t.Fatal(err)
		}
		if event["type"].(map[string]any)["code"] != c.code || subtype != c.subtype || event["action"] != c.action || event["outcome"] != c.outcome || string(got) != c.entity ||
			event["recorded"] != "2026-03-01T09:30:00.005Z" || event["id"] != hashOf([]byte("line\n")) {
			t.Errorf("the event is\n%s\nwith the entity %s", text, got)
		}
	}
}

// TestFilter checks which events a filter selects.
func TestFilter(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	request := Entry{Event: Event{Time: at, Principal: "p", Client: "c", Remote: "192.0.2.7", Interaction: Read, Status: 200}}
	summary := Entry{Event: Event{Time: at, Principal: "p", Interaction: Other, Status: 404, Count: 3, Statuses: map[string]int{"404": 1, "429": 2}}}
	notice := Entry{Event: Event{Time: at}, Log: Notice{Kind: Begun}}
	for _, c := range []struct {
		filter                   Filter
		request, summary, notice bool
	}{
		{Filter{}, true, true, true},
		{Filter{Client: "p"}, true, true, false},
		{Filter{Client: "c"}, true, false, false},
		{Filter{Client: "192.0.2.7"}, true, false, false},
		{Filter{Client: "x"}, false, false, false},
		{Filter{Since: at, Until: at.Add(1)}, true, true, true},
		{Filter{Since: at.Add(1)}, false, false, false},
		{Filter{Until: at}, false, false, false},
		{Filter{Interactions: []Interaction{Read}}, true, false, false},
		{Filter{Interactions: []Interaction{Other, Log}}, false, true, true},
		{Filter{Statuses: []string{"200", "500"}}, true, false, false},
		{Filter{Statuses: []string{"429"}}, false, true, false},
		{Filter{Statuses: []string{"4xx"}}, false, true, false},
		{Filter{Statuses: []string{"5xx"}}, false, false, false},
	} {
		if got := [3]bool{c.filter.Selects(request), c.filter.Selects(summary), c.filter.Selects(notice)}; got != [3]bool{c.request, c.summary, c.notice} {
			t.Errorf("%+v selects %v", c.filter, got)
		}
	}
}
