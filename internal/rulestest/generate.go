package rulestest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
)

// Step is a set of changes that are made together.
type Step struct {
	What    string // for messages
	Changes []Change
}

// Generator draws random steps for one directory. It is deterministic: the same random source
// gives the same steps. It is not safe for concurrent use.
type Generator struct {
	Random *rand.Rand
	Prefix string // of all ids

	names  []Name
	writes int // counts the texts, so that each update differs
}

// counts is the number of resources of each type that a directory may have: few, so that most
// references lead to something.
var counts = map[string]int{"Organization": 3, "Practitioner": 2, "Location": 2, "HealthcareService": 2, "PractitionerRole": 3, "Endpoint": 2, "Provenance": 2}

// letters are the letters of the ids.
var letters = map[string]string{"Organization": "o", "Practitioner": "p", "Location": "l", "HealthcareService": "s", "PractitionerRole": "r", "Endpoint": "e", "Provenance": "v"}

// Next draws a step for a directory.
func (g *Generator) Next(w World) Step {
	if g.names == nil {
		for _, t := range Types {
			for n := range counts[t] {
				g.names = append(g.names, Name{t, fmt.Sprintf("%s%s%d", g.Prefix, letters[t], n+1)})
			}
		}
	}
	if g.Random.IntN(6) > 0 {
		return g.single(w)
	}
	// Several puts in one file. A later one may change the same resource again.
	var all Step
	for range 2 + g.Random.IntN(4) {
		s := g.single(w)
		if s.Changes[0].Document == nil { // a removal or a reload
			continue
		}
		w = w.after(s.Changes[0])
		if all.What != "" {
			all.What += "; "
		}
		all.What += s.What
		all.Changes = append(all.Changes, s.Changes...)
	}
	if len(all.Changes) == 0 {
		return g.single(w)
	}
	return all
}

// operation is a kind of step.
type operation struct {
	name   string
	weight int
	// edit changes the own document of a resource. It returns false if it does not fit. It is nil
	// for a step of another kind than a put.
	edit func(g *Generator, w World, n Name, document Object) bool
}

var operations = []operation{
	{"update", 2, func(g *Generator, _ World, n Name, d Object) bool { g.write(n.Type, d); return true }},
	{"suppress", 6, (*Generator).suppress},
	{"lift", 5, (*Generator).lift},
	{"deactivate", 4, (*Generator).deactivate},
	{"reactivate", 4, (*Generator).reactivate},
	{"move", 4, (*Generator).move},
	{"share", 4, (*Generator).share},
	{"re-import", 2, func(*Generator, World, Name, Object) bool { return true }},
	{"remove", 3, nil},
	{"reload", 4, nil},
}

// single draws a step with one change.
func (g *Generator) single(w World) Step {
	if len(w.Present) < 4 || g.Random.IntN(3) == 0 {
		if n, ok := g.pick(func(n Name) bool { return w.Present[n] == nil }); ok {
			return Step{"create " + n.String(), []Change{Put(g.create(w, n))}}
		}
	}
	for {
		n, _ := g.pick(func(n Name) bool { return w.Present[n] != nil })
		o := g.operation()
		switch o.name {
		case "remove":
			return Step{"remove " + n.String(), []Change{Remove(n)}}
		case "reload":
			return g.reload(w)
		}
		if d := clone(w.Present[n]); o.edit(g, w, n, d) {
			return Step{o.name + " " + n.String(), []Change{Put(d)}}
		}
	}
}

// reload draws a line that the directory has served, also of a resource that was removed.
func (g *Generator) reload(w World) Step {
	n, _ := g.pick(func(n Name) bool { _, was := w.last(n); return was })
	back := 1 + g.Random.IntN(4)
	return Step{fmt.Sprintf("reload %s %d", n, back), []Change{Reload(n, back)}}
}

func (g *Generator) operation() operation {
	total := 0
	for _, o := range operations {
		total += o.weight
	}
	drawn := g.Random.IntN(total)
	for _, o := range operations {
		if drawn -= o.weight; drawn < 0 {
			return o
		}
	}
	return operations[0]
}

// pick draws one of the names that fit.
func (g *Generator) pick(fits func(Name) bool) (Name, bool) {
	all := slices.DeleteFunc(slices.Clone(g.names), func(n Name) bool { return !fits(n) })
	if len(all) == 0 {
		return Name{}, false
	}
	return all[g.Random.IntN(len(all))], true
}

// chance reports true in one of n cases.
func (g *Generator) chance(n int) bool { return g.Random.IntN(n) == 0 }

// create draws a new document.
func (g *Generator) create(w World, n Name) Object {
	d := Object{"resourceType": n.Type, "id": n.ID}
	switch n.Type {
	case "Organization", "Practitioner":
	case "Provenance":
		d["recorded"] = "2026-01-02T03:04:05Z"
		d["target"] = []any{}
		for range 1 + g.Random.IntN(2) {
			about, _ := g.pick(func(n Name) bool { return n.Type != "Provenance" })
			d["target"] = append(d["target"].([]any), Object{"reference": about.String()})
		}
	case "Endpoint":
		d["status"] = "active"
		fallthrough
	default:
		// Without a local identifier the directory would add one.
		d["identifier"] = []any{Object{"system": "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier", "value": n.ID}}
	}
	g.write(n.Type, d)
	if g.chance(4) {
		d["extension"] = []any{Object{"url": "http://directory.example/note", "valueDecimal": json.Number("1.50")}}
	}
	for _, edit := range []struct {
		of int // its chance is one in of
		do func(*Generator, World, Name, Object) bool
	}{{1, (*Generator).move}, {3, (*Generator).share}, {8, (*Generator).suppress}, {8, (*Generator).deactivate}, {4, (*Generator).reactivate}} {
		if g.chance(edit.of) {
			edit.do(g, w, n, d)
		}
	}
	return d
}

// write changes the text of a document.
func (g *Generator) write(typ string, d Object) {
	g.writes++
	words := fmt.Sprintf("Zoë & <%d> \u2028", g.writes)
	switch typ {
	case "Practitioner":
		d["name"] = []any{Object{"family": words}}
	case "PractitionerRole", "Provenance":
		d["language"] = fmt.Sprintf("x-%d", g.writes)
	default:
		d["name"] = words
	}
}

// suppress adds a suppression that the guide allows for the type.
func (g *Generator) suppress(_ World, n Name, d Object) bool {
	if suppression(d) != nil {
		return false
	}
	initiators := []string{ByOrganisation}
	switch n.Type {
	case "Practitioner":
		initiators = []string{ByPractitioner}
	case "PractitionerRole":
		initiators = [][]string{{ByOrganisation}, {ByPractitioner}, {ByPractitioner, ByOrganisation}, {ByOrganisation, ByPractitioner}}[g.Random.IntN(4)]
	}
	extension := newSuppression(initiators...)
	if n.Type == "Organization" && !g.chance(3) {
		self := Object{"url": "includeSelf", "valueBoolean": g.chance(2)}
		extension["extension"] = append(extension["extension"].([]any), self)
	}
	list, _ := d["extension"].([]any)
	if g.chance(2) {
		d["extension"] = append([]any{extension}, list...)
	} else {
		d["extension"] = append(list, extension)
	}
	return true
}

// lift removes a suppression.
func (g *Generator) lift(_ World, _ Name, d Object) bool {
	if suppression(d) == nil {
		return false
	}
	Lift(d)
	return true
}

// Lift removes the suppression of a document.
func Lift(document Object) {
	list, _ := document["extension"].([]any)
	list = slices.DeleteFunc(slices.Clone(list), func(i any) bool {
		o, _ := i.(Object)
		return o["url"] == suppressedURL
	})
	document["extension"] = list
	if len(list) == 0 {
		delete(document, "extension")
	}
}

func (g *Generator) deactivate(_ World, n Name, d Object) bool {
	words := map[string][]any{"Location": {"inactive", "suspended"}, "Endpoint": {"off", "suspended", "error"}}[n.Type]
	return g.setState(d, append(words, false), true)
}

func (g *Generator) reactivate(_ World, n Name, d Object) bool {
	words := map[string][]any{"Location": {"active", nil}, "Endpoint": {"active"}}[n.Type]
	return g.setState(d, append(words, true, nil), false)
}

// setState sets the state to one of the values; a boolean is for the other types than those with
// a status. It returns false if the document has the state already.
func (g *Generator) setState(d Object, values []any, inactive bool) bool {
	element := stateElement(d)
	if element == "" || StateOf(d).Inactive == inactive && d[element] != nil {
		return false
	}
	values = slices.DeleteFunc(values, func(v any) bool {
		_, isWord := v.(string)
		return v != nil && isWord != (element == "status") || v == nil && d["resourceType"] == "Endpoint"
	})
	d[element] = values[g.Random.IntN(len(values))]
	if d[element] == nil {
		delete(d, element)
	}
	return true
}

// references are the elements that refer to one other resource.
var references = map[string]map[string]string{
	"Organization":      {"partOf": "Organization"},
	"Location":          {"managingOrganization": "Organization", "partOf": "Location"},
	"HealthcareService": {"providedBy": "Organization"},
	"PractitionerRole":  {"organization": "Organization", "practitioner": "Practitioner", "healthcareService": "HealthcareService"},
	"Endpoint":          {"managingOrganization": "Organization"},
}

// move changes where a resource belongs.
func (g *Generator) move(_ World, n Name, d Object) bool {
	moved := false
	for _, element := range slices.Sorted(maps.Keys(references[n.Type])) {
		if d[element] != nil && g.chance(2) {
			continue
		}
		moved = true
		to, _ := g.pick(func(to Name) bool { return to.Type == references[n.Type][element] })
		switch {
		case g.chance(8):
			delete(d, element)
		case element == "healthcareService": // a list
			d[element] = []any{Object{"reference": to.String()}}
		default:
			d[element] = g.reference(to)
		}
	}
	return moved
}

// reference writes a reference in one of its forms. The last two lead out of the directory.
func (g *Generator) reference(to Name) Object {
	switch g.Random.IntN(20) {
	case 0:
		return Object{"reference": Base + "/" + to.String()}
	case 1:
		return Object{"reference": to.String() + "/_history/1"}
	case 2:
		return Object{"identifier": Object{"system": "http://directory.example/id", "value": to.ID}}
	case 3:
		return Object{"reference": "http://elsewhere.example/fhir/" + to.String()}
	}
	return Object{"reference": to.String(), "display": "Zoë"}
}

// share changes to which Endpoints a resource refers.
func (g *Generator) share(_ World, n Name, d Object) bool {
	if n.Type != "Location" && n.Type != "HealthcareService" && n.Type != "PractitionerRole" {
		return false
	}
	var list []any
	for range g.Random.IntN(3) {
		to, _ := g.pick(func(to Name) bool { return to.Type == "Endpoint" })
		list = append(list, Object{"reference": to.String()})
	}
	d["endpoint"] = list
	if len(list) == 0 {
		delete(d, "endpoint")
	}
	return true
}

// Source returns a document as one line of a file. The order of the members follows from the name
// of the resource, so that a document always has the same text.
func Source(document Object) []byte {
	var b bytes.Buffer
	appendSource(&b, NameOf(document).String(), document)
	return append(b.Bytes(), '\n')
}

func appendSource(b *bytes.Buffer, order string, v any) {
	switch v := v.(type) {
	case Object:
		rank := func(member string) uint64 {
			h := fnv.New64a()
			fmt.Fprint(h, order, member)
			return h.Sum64()
		}
		keys := slices.SortedFunc(maps.Keys(v), func(a, b string) int {
			if rank(a) < rank(b) {
				return -1
			}
			return 1
		})
		b.WriteByte('{')
		for n, key := range keys {
			if n > 0 {
				b.WriteByte(',')
			}
			appendSource(b, order, key)
			b.WriteByte(':')
			appendSource(b, order, v[key])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for n, item := range v {
			if n > 0 {
				b.WriteByte(',')
			}
			appendSource(b, order, item)
		}
		b.WriteByte(']')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // documents come from JSON
		}
		b.Write(text)
	}
}
