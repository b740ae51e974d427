package searchtest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Query makes a query about the directory: one to three criteria, chains and reverse
// chains up to three steps deep, with every modifier and prefix. Most criteria are
// true of one resource that the query is made around, so that answers are not empty
// for the mere number of criteria. A few queries must be refused.
func (d *Directory) Query(r *rand.Rand) query.Query {
	a := &asker{d: d, r: r}
	t := pick(r, fhir.Types())
	q := query.Query{Type: t}
	about := a.any(t)
	for range pick(r, []int{1, 1, 1, 2, 2, 3}) {
		q.Params = append(q.Params, a.fitting(t, about))
	}
	if a.chance(8) {
		q.Params = append(q.Params, a.state(t))
	}
	for _, p := range q.Params {
		if l, ok := p.(query.Criterion); !ok || substantive(t, l.Name) {
			return q
		}
	}
	q.Params = append(q.Params, query.Criterion{Name: "_lastUpdated", Values: []query.Value{{Parts: []string{"ge1900"}}}})
	return q
}

func substantive(t fhir.Type, name string) bool {
	p, _, _ := known(t, name)
	return p.role == ""
}

type asker struct {
	d *Directory
	r *rand.Rand
}

func (a *asker) chance(percent int) bool { return a.r.IntN(100) < percent }

// any is a resource of the type, mostly a visible one; nil if there is none.
func (a *asker) any(t fhir.Type) *Resource {
	list := a.d.byType[t]
	if len(list) == 0 {
		return nil
	}
	for range 5 {
		if r := pick(a.r, list); a.d.visible(r) {
			return r
		}
	}
	return pick(a.r, list)
}

// fitting is a criterion that is true of about, if one of a few is.
func (a *asker) fitting(t fhir.Type, about *Resource) query.Param {
	p := a.criterion(t, about, 0)
	e := &evaluation{d: a.d, counts: a.d.visible}
	for range 4 {
		if about == nil || e.check([]fhir.Type{t}, unchained(p)) != nil || e.holds(about, unchained(p)) {
			break
		}
		p = a.criterion(t, about, 0)
	}
	return p
}

// criterion asks for something of resources of a type, true of about if that is
// not nil and chance wills.
func (a *asker) criterion(t fhir.Type, about *Resource, depth int) query.Param {
	if about == nil || a.chance(10) {
		about = a.any(t)
	}
	if depth < 3 {
		switch n := a.r.IntN(100); {
		case n < 40:
			if p := a.forward(t, about, depth); p != nil {
				return p
			}
		case n < 80:
			if p := a.back(t, about, depth); p != nil {
				return p
			}
		}
	}
	if depth == 0 && t == fhir.Provenance && a.chance(20) {
		return query.TypeTest{Ref: "target", Type: pick(a.r, stateful).String()}
	}
	return a.leaf(t, about)
}

// forward follows a reference.
func (a *asker) forward(t fhir.Type, about *Resource, depth int) query.Param {
	refs := codesOf(t, reference)
	if len(refs) == 0 {
		return nil
	}
	ref := pick(a.r, refs)
	var to *Resource
	if about != nil {
		for range 3 { // one that leads somewhere, if there is one
			for _, v := range a.d.read(about, ref) {
				if next := a.d.byName[v.target]; next != nil && own[t][ref].pointsTo(next.Type.String()) {
					to = next
				}
			}
			if to != nil {
				break
			}
			ref = pick(a.r, refs)
		}
	}
	next := pick(a.r, own[t][ref].targets)
	if to != nil {
		next = to.Type
	}
	c := query.Chain{Ref: ref, Next: a.criterion(next, to, depth+1)}
	if alias, ok := aliasOf(t, ref); ok && a.chance(20) && !strings.Contains(alias, ".") {
		c.Ref = alias
	}
	// Without its type, a chain of many targets must make sense for them all.
	if a.chance(30) || (&evaluation{d: a.d}).check([]fhir.Type{t}, unchained(c)) != nil {
		c.Type = next.String()
	}
	return c
}

// back asks for what refers to the resource.
func (a *asker) back(t fhir.Type, about *Resource, depth int) query.Param {
	type step struct {
		from fhir.Type
		ref  string
	}
	var steps []step
	for _, from := range fhir.Types() {
		for _, ref := range codesOf(from, reference) {
			if own[from][ref].pointsTo(t.String()) {
				steps = append(steps, step{from, ref})
			}
		}
	}
	s := pick(a.r, steps)
	var by *Resource
	if about != nil {
		for range 5 {
			e := evaluation{d: a.d, counts: a.d.visible}
			for _, from := range a.d.byType[s.from] {
				if e.leadsTo(from, s.ref, about) {
					by = from
				}
			}
			if by != nil {
				break
			}
			s = pick(a.r, steps)
		}
	}
	if by != nil && by.Type != s.from {
		by = nil
	}
	return query.Has{Type: s.from.String(), Ref: s.ref, Next: a.criterion(s.from, by, depth+1)}
}

// state names a state.
func (a *asker) state(t fhir.Type) query.Param {
	if t == fhir.Provenance {
		return query.Criterion{Name: "_tag", Values: []query.Value{{Parts: []string{"a"}}}}
	}
	if a.chance(50) {
		return a.suppressed()
	}
	l := query.Criterion{Name: stateElement(t)}
	choices := []string{"true", "false"}
	if l.Name == "status" {
		choices = []string{"active", "inactive", "off", "suspended"}
	}
	l.Values = append(l.Values, query.Value{Parts: []string{pick(a.r, choices)}})
	if a.chance(30) {
		l.Values = append(l.Values, query.Value{Parts: []string{pick(a.r, choices)}})
	}
	return a.negated(l)
}

func (a *asker) suppressed() query.Param {
	const system = "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"
	return a.negated(query.Criterion{Name: "suppressed", Values: []query.Value{{Parts: pick(a.r, [][]string{
		{"true"}, {"true"}, {"false"}, {"organisation-initiated"}, {system, "practitioner-initiated"}, {system, "organisation-initiated"}, {system, ""},
	})}}})
}

func (a *asker) negated(l query.Criterion) query.Criterion {
	switch a.r.IntN(10) {
	case 0:
		l.Modifier = "not"
	case 1:
		return missing(l.Name, a.r)
	}
	return l
}

func missing(name string, r *rand.Rand) query.Criterion {
	return query.Criterion{Name: name, Modifier: "missing", Values: []query.Value{{Parts: []string{pick(r, []string{"true", "false"})}}}}
}

// codesOf are the parameters of a kind, in the order of their names.
func codesOf(t fhir.Type, k kind) []string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(own[t])) {
		if own[t][code].kind == k {
			list = append(list, code)
		}
	}
	return list
}

func aliasOf(t fhir.Type, code string) (string, bool) {
	for alias, of := range aliases[t] {
		if of == code {
			return alias, true
		}
	}
	return "", false
}

// special are the parameters that have a rule of their own.
var special = map[fhir.Type][]string{
	fhir.Practitioner:      {"identifier-r5", "rsg"},
	fhir.Endpoint:          {"payloadmimetype", "hcepi", "connection-type", "payload-type"},
	fhir.HealthcareService: {"hsbilling", "service-type", "languages"},
	fhir.Location:          {"locationamenities", "locmailaddress", "_profile", "near"},
	fhir.PractitionerRole:  {"languages", "date", "starttime"},
}

// leaf asks for a value of a parameter.
func (a *asker) leaf(t fhir.Type, about *Resource) query.Param {
	if t == fhir.Practitioner && a.chance(1) {
		return query.Criterion{Name: pick(a.r, restricted), Values: []query.Value{{Parts: []string{"a"}}}}
	}
	codes := slices.Sorted(maps.Keys(own[t]))
	if a.chance(40) { // kinds with few parameters come up as well
		if some := codesOf(t, pick(a.r, []kind{str, date, reference, uri, hhmm, near, token})); len(some) > 0 {
			codes = some
		}
	}
	code := pick(a.r, codes)
	if list := special[t]; len(list) > 0 && a.chance(12) {
		code = pick(a.r, list)
	}
	for range 4 {
		if about == nil || len(a.d.read(about, code)) > 0 && own[t][code].role == "" {
			break
		}
		code = pick(a.r, codes)
	}
	p := own[t][code]
	if p.role == "state" {
		return a.state(t)
	}
	l := query.Criterion{Name: code, Modifier: a.modifier(p)}
	if l.Modifier == "missing" {
		return missing(code, a.r)
	}
	values := a.values(t, code, about)
	for range 1 + a.r.IntN(4)/3*(1+a.r.IntN(2)) {
		l.Values = append(l.Values, query.Value{Parts: a.value(code, p, &l, values)})
		values = a.values(t, code, nil)
	}
	if alias, ok := aliasOf(t, code); ok && a.chance(20) {
		if alias == "agent.who" {
			if l.Modifier == "" {
				l.Name = "who"
				return query.Chain{Ref: "agent", Next: l}
			}
			return l
		}
		l.Name = alias
	}
	return l
}

func (a *asker) modifier(p parameter) string {
	if a.chance(1) {
		return pick(a.r, []string{"above", "text", "in", "of-type"})
	}
	if !a.chance(35) && !(p.contains && a.chance(60)) {
		return ""
	}
	return pick(a.r, p.modifiers())
}

// values are those of one resource, or of all of a type.
func (a *asker) values(t fhir.Type, code string, about *Resource) []value {
	if about != nil {
		if values := a.d.read(about, code); len(values) > 0 {
			return values
		}
	}
	var all []value
	for _, r := range a.d.byType[t] {
		all = append(all, a.d.read(r, code)...)
	}
	return all
}
