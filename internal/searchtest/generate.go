package searchtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"muster/internal/fhir"
)

// Batches are resources as lines of JSON, grouped by load. A line "-Type/id" removes a
// resource after the other resources of its batch are loaded.
type Batches [][]string

// Generate generates a small directory of all seven types: a few tens of resources in all
// states, with names that are hard to compare and values that several resources share.
// They refer to each other, to missing resources and to other servers. Some are updated,
// and some are removed.
func Generate(r *rand.Rand, base string) Batches {
	g := &generator{r: r, base: base}
	for _, t := range fhir.Types() {
		ids := r.Perm(len(idPool))[:3+r.IntN(7)]
		for _, i := range ids {
			g.ids[t] = append(g.ids[t], idPool[i])
		}
	}
	batches := make(Batches, 3)
	for _, t := range fhir.Types() {
		for _, id := range g.ids[t] {
			n := r.IntN(len(batches))
			batches[n] = append(batches[n], g.resource(t, id))
			if n++; n == len(batches) {
				continue
			}
			switch r.IntN(10) {
			case 0, 1: // a new version
				batches[n] = append(batches[n], g.resource(t, id))
			case 2:
				batches[n] = append(batches[n], "-"+t.String()+"/"+id)
			}
		}
	}
	return batches
}

// idPool contains ids, some of which differ only in case. Resources of different types
// share ids.
var idPool = []string{"a", "A", "a1", "a-1", "a.1", "b", "b1", "c", "C1", "10", "100", "1", "x-y.z"}

// textPool contains texts that are hard to compare: case, composed and decomposed
// accents, spaces, punctuation, and characters with a meaning in queries, patterns and SQL.
var textPool = []string{
	"Balmain", "BALMAIN", "balmain east", "Balmain East Medical", "Café", "Cafe\u0301 Noir", "CAFE", "Zoë", "Zoe Élan", "O'Brien", "O’Brien",
	"100%", "100", "10", "a_b", "axb", "a%b", "ab", "a,b", "a|b", `a\b`, `a\\b`, "😀 Clinic", "clinic 😀", "Mc  Donald", "  Spaced\tout ", "İzmir", "STRASSE", "Straße",
	`"Quoted"`, "x--y", "[x]", "x*y?", "日本語", "日本", "Ünïcödé", "& Sons", "a+b", "a b", "#1", "=", "Dr", "NSW", "2041", "ﬁne", "é", "e",
	"St Vincent's", "St. Vincent’s", "St Vincents", "Carreno Quinones", "Carreño-Quiñones", "van der Berg", "Smith–Jones", "Anne-Marie", "1/2 Main St.", "ΟΔΟΣ", "οδός",
	"co\u00adop", ".", "-", "’",
	"very long name of a very long clinic in a very long street of a very long town",
}

var codePool = []string{"a", "A", "b", "MOBL", "wheelchairAccess", "WheelchairAccess", "a|b", "a,b", `c\d`, "10", "100", "x y", "é", "p%", "p_", "male"}

var systemPool = []string{"", "http://example.org/a", "http://example.org/b", "http://example.org/A", "urn:x:1,2", "http://snomed.info/sct", "http://snomed.info/sct/32506021000036107",
	"http://snomed.info/sct/32506021000036107/version/20260131"}

var timePool = []string{"08:30:00", "00:00:00", "09:00:00", "09:05:59", "12:00:00", "17:00:00", "23:59:00"}

var datePool = []string{"2025", "2025-12", "2026-01", "2026-01-01", "2026-02-28", "2026-03-01", "2026-03-01T09:30:00Z", "2026-03-01T09:30:00.250+11:00", "2026-04-05T02:30:00+10:00", "2024-02-29", "2016-12-31T23:59:60Z"}

var instantPool = []string{"2026-03-01T09:30:00Z", "2026-03-01T09:30:00.250+11:00", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00Z", "2026-02-28T13:00:00+11:00", "2017-01-01T10:59:60.5+11:00"}

// object is a JSON object under construction.
type object map[string]any

type generator struct {
	r    *rand.Rand
	base string
	ids  [8][]string // by type

	contained []any // resources that the references of the current resource contain
}

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (g *generator) text() string { return pick(g.r, textPool) }

// resource returns a random resource of a type.
func (g *generator) resource(t fhir.Type, id string) string {
	o := object{"resourceType": t.String(), "id": id}
	g.addMeta(o)
	g.addState(t, o)
	switch t {
	case fhir.Organization:
		g.organization(o)
	case fhir.Location:
		g.location(o)
	case fhir.Endpoint:
		g.endpoint(o)
	case fhir.HealthcareService:
		g.service(o)
	case fhir.Practitioner:
		g.practitioner(o)
	case fhir.PractitionerRole:
		g.role(o)
	case fhir.Provenance:
		g.provenance(o)
	}
	if g.contained != nil {
		o["contained"], g.contained = g.contained, nil
	}
	line, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("encode generated resource: %v", err)) // unreachable: strings, numbers and lists
	}
	return string(line)
}

// addList usually adds a member with one to maxItems values.
func (g *generator) addList(o object, name string, maxItems int, newItem func() any) {
	if !g.chance(70) {
		return
	}
	var list []any
	for range 1 + g.r.IntN(maxItems) {
		list = append(list, newItem())
	}
	o[name] = list
}

// addOptional usually adds a member with one value.
func (g *generator) addOptional(o object, name string, newValue func() any) {
	if g.chance(70) {
		o[name] = newValue()
	}
}

func (g *generator) addMeta(o object) {
	meta := object{}
	if g.chance(50) {
		meta["lastUpdated"] = pick(g.r, instantPool)
	}
	if g.chance(30) {
		meta["profile"] = []any{pick(g.r, profilePool)}
	}
	if g.chance(30) {
		meta["tag"] = []any{g.coding()}
	}
	if g.chance(20) {
		meta["security"] = []any{g.coding()}
	}
	if g.chance(20) {
		meta["source"] = pick(g.r, uriPool)
	}
	if len(meta) > 0 {
		o["meta"] = meta
	}
}

var profilePool = []string{hcpd + "hcpd-location", hcpd + "hc-location", hcpd + "hc-location|0.3.0", "http://example.org/StructureDefinition/x", "http://example.org/StructureDefinition/x|1"}

var uriPool = []string{"http://example.org/x", "http://example.org/X", "http://example.org/x/", "http://example.org/a,b", "urn:oid:1.2.3", "http://example.org/%20"}

// addState makes some resources inactive or suppressed, in all possible forms.
func (g *generator) addState(t fhir.Type, o object) {
	switch n := g.r.IntN(10); {
	case n < 2 || t == fhir.Provenance:
	case t == fhir.Location:
		o["status"] = pick(g.r, []string{"active", "active", "active", "inactive", "suspended"})
	case t == fhir.Endpoint:
		o["status"] = pick(g.r, []string{"active", "active", "active", "off", "suspended"})
	default:
		o["active"] = g.chance(85)
	}
	if !g.chance(10) {
		return
	}
	if g.chance(20) {
		addExtension(o, object{"url": suppressedOldURL, "valueBoolean": g.chance(60)})
		return
	}
	code := "organisation-initiated"
	if t == fhir.Practitioner || t == fhir.PractitionerRole && g.chance(50) {
		code = "practitioner-initiated"
	}
	by := object{"coding": []any{object{"system": "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type", "code": code}}}
	parts := []any{object{"url": "suppressedBy", "valueCodeableConcept": by}}
	if t == fhir.Organization && g.chance(70) {
		parts = append(parts, object{"url": "includeSelf", "valueBoolean": g.chance(40)})
	}
	if g.chance(10) { // malformed, but it still hides the resource
		parts = append(parts, pick(g.r, []object{{"url": "includeSelf", "valueString": "false"}, {"url": "includeSelf", "valueBoolean": false}, {"url": "other", "valueBoolean": false}}))
	}
	addExtension(o, object{"url": suppressedURL, "extension": parts})
}

func addExtension(o object, e object) {
	list, _ := o["extension"].([]any)
	o["extension"] = append(list, e)
}

func (g *generator) coding() any { return g.codingOf(systemPool, codePool) }

func (g *generator) codingOf(systems, codes []string) any {
	c := object{"code": pick(g.r, codes)}
	if system := pick(g.r, systems); system != "" {
		c["system"] = system
	}
	return c
}

func (g *generator) concept() any { return g.conceptOf(systemPool, codePool) }

func (g *generator) conceptOf(systems, codes []string) any {
	if g.chance(5) {
		return object{"text": g.text()}
	}
	list := []any{g.codingOf(systems, codes)}
	if g.chance(30) {
		list = append(list, g.codingOf(systems, codes))
	}
	return object{"coding": list}
}

func (g *generator) identifier() any {
	i := object{"value": pick(g.r, codePool)}
	if system := pick(g.r, append(systemPool, "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier", "http://digitalhealth.gov.au/fhir/hcpd/id/hc-local-identifier")); system != "" {
		i["system"] = system
	}
	if g.chance(5) && i["system"] != nil {
		delete(i, "value")
	}
	if g.chance(40) {
		i["type"] = object{"coding": []any{object{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": pick(g.r, []string{"XX", "RI", "NPI"})}}}
	}
	return i
}

// reference returns a reference. Most refer to a resource of one of the types, some to a
// missing or contained resource or to another server, and some have an unusual form.
func (g *generator) reference(types ...fhir.Type) any {
	t := pick(g.r, types)
	relative := t.String() + "/" + pick(g.r, g.ids[t])
	switch g.r.IntN(20) {
	case 0:
		return object{"reference": t.String() + "/missing"}
	case 1:
		return object{"reference": g.base + "/" + relative}
	case 2:
		return object{"reference": relative + "/_history/1"}
	case 3:
		return object{"reference": "https://other.example/fhir/" + relative}
	case 4:
		return object{"identifier": g.identifier(), "display": "x"}
	case 5:
		return object{"reference": relative, "identifier": g.identifier()}
	case 6:
		return object{"reference": "urn:uuid:5b0e2f5e-6a3b-4f0e-9c53-0d6a6d0d7a11"}
	case 7:
		id := fmt.Sprintf("c%d", len(g.contained))
		g.contained = append(g.contained, object{"resourceType": t.String(), "id": id, "identifier": []any{g.identifier()}})
		return object{"reference": "#" + id}
	case 8:
		return object{"display": g.text()}
	}
	return object{"reference": relative}
}

func (g *generator) addReferences(o object, name string, types ...fhir.Type) {
	g.addList(o, name, 3, func() any { return g.reference(types...) })
}

func (g *generator) addReference(o object, name string, types ...fhir.Type) {
	g.addOptional(o, name, func() any { return g.reference(types...) })
}

func (g *generator) plainText() any { return g.text() }

func (g *generator) address() any {
	a := object{}
	g.addList(a, "line", 2, g.plainText)
	for _, part := range []string{"city", "state", "postalCode", "country", "district", "text"} {
		if g.chance(50) {
			a[part] = g.text()
		}
	}
	a["use"] = pick(g.r, []string{"work", "home", "temp"})
	return a
}

func (g *generator) contact() any {
	return object{"system": pick(g.r, []string{"phone", "email", "url"}), "value": pick(g.r, []string{"02 1234", "+61 2 1234", "a@b.example", "A@b.example", "a,b@c.example"})}
}

func (g *generator) period() any {
	p := object{}
	start, end := pick(g.r, datePool), pick(g.r, datePool)
	if g.chance(80) {
		p["start"] = start
	}
	if g.chance(40) && (p["start"] == nil || strings.Compare(start[:4], end[:4]) < 0) {
		p["end"] = end
	}
	if len(p) == 0 {
		p["start"] = start
	}
	return p
}

func (g *generator) availableTime() any {
	a := object{}
	if g.chance(30) {
		a["allDay"] = g.chance(70)
	}
	if g.chance(70) {
		a["availableStartTime"] = pick(g.r, timePool)
	}
	if g.chance(70) {
		a["availableEndTime"] = pick(g.r, timePool)
	}
	days := []string{"mon", "tue", "wed", "sat"}
	a["daysOfWeek"] = []any{pick(g.r, days[:2]), pick(g.r, days[2:])}
	return a
}
