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
func (d *Directory) RandomQuery(r *rand.Rand) query.Query {
	a := &queryGenerator{d: d, r: r}
	t := pick(r, fhir.Types())
	q := query.Query{Type: t}
	about := a.anyResource(t)
	for range pick(r, []int{1, 1, 1, 2, 2, 3}) {
		q.Params = append(q.Params, a.matchingCriterion(t, about))
	}
	if a.chance(8) {
		q.Params = append(q.Params, a.stateCriterion(t))
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
	p, _, _ := lookUpParameter(t, name)
	return p.role == ""
}

type queryGenerator struct {
	d *Directory
	r *rand.Rand
}

func (a *queryGenerator) chance(percent int) bool { return a.r.IntN(100) < percent }

// anyResource is a resource of the type, mostly a visible one; nil if there is none.
func (a *queryGenerator) anyResource(t fhir.Type) *Resource {
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

// matchingCriterion is a criterion that is true of about, if one of a few is.
func (a *queryGenerator) matchingCriterion(t fhir.Type, about *Resource) query.Param {
	p := a.criterion(t, about, 0)
	e := &evaluation{d: a.d, mayTraverse: a.d.visible}
	for range 4 {
		if about == nil || e.validate([]fhir.Type{t}, resolveAgentWho(p)) != nil || e.matches(about, resolveAgentWho(p)) {
			break
		}
		p = a.criterion(t, about, 0)
	}
	return p
}

// criterion asks for something of resources of a type, true of about if that is
// not nil and chance wills.
func (a *queryGenerator) criterion(t fhir.Type, about *Resource, depth int) query.Param {
	if about == nil || a.chance(10) {
		about = a.anyResource(t)
	}
	if depth < 3 {
		switch n := a.r.IntN(100); {
		case n < 40:
			if p := a.chain(t, about, depth); p != nil {
				return p
			}
		case n < 80:
			if p := a.reverseChain(t, about, depth); p != nil {
				return p
			}
		}
	}
	if depth == 0 && t == fhir.Provenance && a.chance(20) {
		return query.TypeTest{Ref: "target", Type: pick(a.r, statefulTypes).String()}
	}
	return a.valueCriterion(t, about)
}

// chain follows a reference.
func (a *queryGenerator) chain(t fhir.Type, about *Resource, depth int) query.Param {
	refs := codesOfKind(t, reference)
	if len(refs) == 0 {
		return nil
	}
	ref := pick(a.r, refs)
	var to *Resource
	if about != nil {
		for range 3 { // one that leads somewhere, if there is one
			for _, v := range a.d.read(about, ref) {
				if next := a.d.byName[v.target]; next != nil && parametersByType[t][ref].pointsTo(next.Type.String()) {
					to = next
				}
			}
			if to != nil {
				break
			}
			ref = pick(a.r, refs)
		}
	}
	next := pick(a.r, parametersByType[t][ref].targets)
	if to != nil {
		next = to.Type
	}
	c := query.Chain{Ref: ref, Next: a.criterion(next, to, depth+1)}
	if alias, ok := aliasOf(t, ref); ok && a.chance(20) && !strings.Contains(alias, ".") {
		c.Ref = alias
	}
	// Without its type, a chain of many targets must make sense for them all.
	if a.chance(30) || (&evaluation{d: a.d}).validate([]fhir.Type{t}, resolveAgentWho(c)) != nil {
		c.Type = next.String()
	}
	return c
}

// reverseChain asks for what refers to the resource.
func (a *queryGenerator) reverseChain(t fhir.Type, about *Resource, depth int) query.Param {
	type step struct {
		from fhir.Type
		ref  string
	}
	var steps []step
	for _, from := range fhir.Types() {
		for _, ref := range codesOfKind(from, reference) {
			if parametersByType[from][ref].pointsTo(t.String()) {
				steps = append(steps, step{from, ref})
			}
		}
	}
	s := pick(a.r, steps)
	var by *Resource
	if about != nil {
		for range 5 {
			e := evaluation{d: a.d, mayTraverse: a.d.visible}
			for _, from := range a.d.byType[s.from] {
				if e.refersTo(from, s.ref, about) {
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

// stateCriterion names a state.
func (a *queryGenerator) stateCriterion(t fhir.Type) query.Param {
	if t == fhir.Provenance {
		return query.Criterion{Name: "_tag", Values: []query.Value{{Parts: []string{"a"}}}}
	}
	if a.chance(50) {
		return a.suppressedCriterion()
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
	return a.maybeNegated(l)
}

func (a *queryGenerator) suppressedCriterion() query.Param {
	const system = "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"
	return a.maybeNegated(query.Criterion{Name: "suppressed", Values: []query.Value{{Parts: pick(a.r, [][]string{
		{"true"}, {"true"}, {"false"}, {"organisation-initiated"}, {system, "practitioner-initiated"}, {system, "organisation-initiated"}, {system, ""},
	})}}})
}

func (a *queryGenerator) maybeNegated(l query.Criterion) query.Criterion {
	switch a.r.IntN(10) {
	case 0:
		l.Modifier = "not"
	case 1:
		return missingCriterion(l.Name, a.r)
	}
	return l
}

func missingCriterion(name string, r *rand.Rand) query.Criterion {
	return query.Criterion{Name: name, Modifier: "missing", Values: []query.Value{{Parts: []string{pick(r, []string{"true", "false"})}}}}
}

// codesOfKind are the parameters of a kind, in the order of their names.
func codesOfKind(t fhir.Type, k kind) []string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(parametersByType[t])) {
		if parametersByType[t][code].kind == k {
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

// specialParameters are the parameters that have a rule of their own.
var specialParameters = map[fhir.Type][]string{
	fhir.Practitioner:      {"identifier-r5", "rsg"},
	fhir.Endpoint:          {"payloadmimetype", "hcepi", "connection-type", "payload-type"},
	fhir.HealthcareService: {"hsbilling", "service-type", "languages"},
	fhir.Location:          {"locationamenities", "locmailaddress", "_profile", "near"},
	fhir.PractitionerRole:  {"languages", "date", "starttime"},
}

// valueCriterion asks for a value of a parameter.
func (a *queryGenerator) valueCriterion(t fhir.Type, about *Resource) query.Param {
	if t == fhir.Practitioner && a.chance(1) {
		return query.Criterion{Name: pick(a.r, restricted), Values: []query.Value{{Parts: []string{"a"}}}}
	}
	codes := slices.Sorted(maps.Keys(parametersByType[t]))
	if a.chance(40) { // kinds with few parameters come up as well
		if some := codesOfKind(t, pick(a.r, []kind{str, date, reference, uri, hhmm, near, token})); len(some) > 0 {
			codes = some
		}
	}
	code := pick(a.r, codes)
	if list := specialParameters[t]; len(list) > 0 && a.chance(12) {
		code = pick(a.r, list)
	}
	for range 4 {
		if about == nil || len(a.d.read(about, code)) > 0 && parametersByType[t][code].role == "" {
			break
		}
		code = pick(a.r, codes)
	}
	p := parametersByType[t][code]
	if p.role == "state" {
		return a.stateCriterion(t)
	}
	l := query.Criterion{Name: code, Modifier: a.modifier(p)}
	if l.Modifier == "missing" {
		return missingCriterion(code, a.r)
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

func (a *queryGenerator) modifier(p parameter) string {
	if a.chance(1) {
		return pick(a.r, []string{"above", "text", "in", "of-type"})
	}
	if !a.chance(35) && !(p.contains && a.chance(60)) {
		return ""
	}
	return pick(a.r, p.modifiers())
}

// values are those of one resource, or of all of a type.
func (a *queryGenerator) values(t fhir.Type, code string, about *Resource) []value {
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
