package searchtest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// RandomQuery generates a query for the directory: one to three criteria, chains and
// reverse chains up to three steps deep, with every modifier and prefix. Most criteria
// match one target resource, so that queries with several criteria find something. A few
// queries must be refused.
func (d *Directory) RandomQuery(r *rand.Rand) query.Query {
	g := &queryGenerator{d: d, r: r}
	t := pick(r, fhir.Types())
	q := query.Query{Type: t}
	target := g.anyResource(t)
	for range pick(r, []int{1, 1, 1, 2, 2, 3}) {
		q.Params = append(q.Params, g.matchingCriterion(t, target))
	}
	if g.chance(8) {
		q.Params = append(q.Params, g.stateCriterion(t))
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

func (g *queryGenerator) chance(percent int) bool { return g.r.IntN(100) < percent }

// anyResource returns a random resource of the type, usually a visible one. It returns
// nil if there is none.
func (g *queryGenerator) anyResource(t fhir.Type) *Resource {
	list := g.d.byType[t]
	if len(list) == 0 {
		return nil
	}
	for range 5 {
		if r := pick(g.r, list); g.d.visible(r) {
			return r
		}
	}
	return pick(g.r, list)
}

// matchingCriterion returns a criterion. It tries a few times to generate one that
// matches the target.
func (g *queryGenerator) matchingCriterion(t fhir.Type, target *Resource) query.Param {
	p := g.criterion(t, target, 0)
	e := &evaluation{d: g.d, mayTraverse: g.d.visible}
	for range 4 {
		if target == nil || e.validate([]fhir.Type{t}, resolveAgentWho(p)) != nil || e.matches(target, resolveAgentWho(p)) {
			break
		}
		p = g.criterion(t, target, 0)
	}
	return p
}

// criterion returns a criterion on resources of a type. It usually matches the target,
// unless that is nil.
func (g *queryGenerator) criterion(t fhir.Type, target *Resource, depth int) query.Param {
	if target == nil || g.chance(10) {
		target = g.anyResource(t)
	}
	if depth < 3 {
		switch n := g.r.IntN(100); {
		case n < 40:
			if p := g.chain(t, target, depth); p != nil {
				return p
			}
		case n < 80:
			if p := g.reverseChain(t, target, depth); p != nil {
				return p
			}
		}
	}
	if depth == 0 && t == fhir.Provenance && g.chance(20) {
		return query.TypeTest{Ref: "target", Type: pick(g.r, statefulTypes).String()}
	}
	return g.valueCriterion(t, target)
}

// chain returns a chained criterion.
func (g *queryGenerator) chain(t fhir.Type, target *Resource, depth int) query.Param {
	refs := codesOfKind(t, reference)
	if len(refs) == 0 {
		return nil
	}
	ref := pick(g.r, refs)
	var to *Resource
	if target != nil {
		for range 3 { // prefer a reference whose target exists
			for _, v := range g.d.read(target, ref) {
				if next := g.d.byName[v.target]; next != nil && parametersByType[t][ref].pointsTo(next.Type.String()) {
					to = next
				}
			}
			if to != nil {
				break
			}
			ref = pick(g.r, refs)
		}
	}
	next := pick(g.r, parametersByType[t][ref].targets)
	if to != nil {
		next = to.Type
	}
	c := query.Chain{Ref: ref, Next: g.criterion(next, to, depth+1)}
	if alias, ok := aliasOf(t, ref); ok && g.chance(20) && !strings.Contains(alias, ".") {
		c.Ref = alias
	}
	// A chain without a type must be valid for all its target types.
	if g.chance(30) || (&evaluation{d: g.d}).validate([]fhir.Type{t}, resolveAgentWho(c)) != nil {
		c.Type = next.String()
	}
	return c
}

// reverseChain returns a criterion on the resources that refer to the target.
func (g *queryGenerator) reverseChain(t fhir.Type, target *Resource, depth int) query.Param {
	type reverseReference struct {
		from fhir.Type
		ref  string
	}
	var candidates []reverseReference
	for _, from := range fhir.Types() {
		for _, ref := range codesOfKind(from, reference) {
			if parametersByType[from][ref].pointsTo(t.String()) {
				candidates = append(candidates, reverseReference{from, ref})
			}
		}
	}
	s := pick(g.r, candidates)
	var source *Resource
	if target != nil {
		for range 5 {
			e := evaluation{d: g.d, mayTraverse: g.d.visible}
			for _, from := range g.d.byType[s.from] {
				if e.refersTo(from, s.ref, target) {
					source = from
				}
			}
			if source != nil {
				break
			}
			s = pick(g.r, candidates)
		}
	}
	if source != nil && source.Type != s.from {
		source = nil
	}
	return query.Has{Type: s.from.String(), Ref: s.ref, Next: g.criterion(s.from, source, depth+1)}
}

// stateCriterion returns a criterion on the state of resources.
func (g *queryGenerator) stateCriterion(t fhir.Type) query.Param {
	if t == fhir.Provenance {
		return query.Criterion{Name: "_tag", Values: []query.Value{{Parts: []string{"a"}}}}
	}
	if g.chance(50) {
		return g.suppressedCriterion()
	}
	l := query.Criterion{Name: stateElement(t)}
	choices := []string{"true", "false"}
	if l.Name == "status" {
		choices = []string{"active", "inactive", "off", "suspended"}
	}
	p := parametersByType[t][l.Name]
	for range 1 + g.r.IntN(10)/7 {
		parts := []string{pick(g.r, choices)}
		if g.chance(30) {
			parts = []string{pick(g.r, p.implied), pick(g.r, append(choices, ""))}
		}
		l.Values = append(l.Values, query.Value{Parts: parts})
	}
	return g.maybeNegated(l)
}

func (g *queryGenerator) suppressedCriterion() query.Param {
	const system = responsibleParty
	if g.chance(5) {
		wrong := pick(g.r, [][]string{{"foo"}, {system, "true"}, {specialValues[0], "organisation-initiated"}, {"http://example.org/a", "true"}, {"", "practitioner-initiated"}})
		return query.Criterion{Name: "suppressed", Values: []query.Value{{Parts: wrong}}}
	}
	return g.maybeNegated(query.Criterion{Name: "suppressed", Values: []query.Value{{Parts: pick(g.r, [][]string{
		{"true"}, {"true"}, {"false"}, {"organisation-initiated"}, {system, "practitioner-initiated"}, {system, "organisation-initiated"}, {system, ""},
		{specialValues[0], "true"}, {specialValues[1], "false"}, {specialValues[0], ""}, {"", "true"},
	})}}})
}

func (g *queryGenerator) maybeNegated(l query.Criterion) query.Criterion {
	switch g.r.IntN(10) {
	case 0:
		l.Modifier = "not"
	case 1:
		return missingCriterion(l.Name, g.r)
	}
	return l
}

func missingCriterion(name string, r *rand.Rand) query.Criterion {
	return query.Criterion{Name: name, Modifier: "missing", Values: []query.Value{{Parts: []string{pick(r, []string{"true", "false"})}}}}
}

// codesOfKind returns the codes of the parameters of a kind, sorted.
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

// specialParameters are the parameters with rules of their own.
var specialParameters = map[fhir.Type][]string{
	fhir.Practitioner:      {"identifier-r5", "rsg", "family", "phone"},
	fhir.Organization:      {"address-use"},
	fhir.Endpoint:          {"payloadmimetype", "hcepi", "connection-type", "payload-type"},
	fhir.HealthcareService: {"hsbilling", "service-type", "languages"},
	fhir.Location:          {"locationamenities", "locmailaddress", "_profile", "near"},
	fhir.PractitionerRole:  {"languages", "date", "starttime", "daysofweek", "allday"},
}

// valueCriterion returns a criterion on the value of a parameter.
func (g *queryGenerator) valueCriterion(t fhir.Type, target *Resource) query.Param {
	if t == fhir.Practitioner && g.chance(1) {
		return query.Criterion{Name: pick(g.r, restricted), Values: []query.Value{{Parts: []string{"a"}}}}
	}
	codes := slices.Sorted(maps.Keys(parametersByType[t]))
	if g.chance(40) { // so that kinds with few parameters are not rare
		if ofKind := codesOfKind(t, pick(g.r, []kind{str, date, reference, uri, hhmm, near, token})); len(ofKind) > 0 {
			codes = ofKind
		}
	}
	code := pick(g.r, codes)
	if list := specialParameters[t]; len(list) > 0 && g.chance(12) {
		code = pick(g.r, list)
	}
	for range 4 {
		if target == nil || len(g.d.read(target, code)) > 0 && parametersByType[t][code].role == "" {
			break
		}
		code = pick(g.r, codes)
	}
	p := parametersByType[t][code]
	if p.role == "state" {
		return g.stateCriterion(t)
	}
	l := query.Criterion{Name: code, Modifier: g.modifier(p)}
	if l.Modifier == "missing" {
		return missingCriterion(code, g.r)
	}
	values := g.values(t, code, target)
	for range 1 + g.r.IntN(4)/3*(1+g.r.IntN(2)) {
		l.Values = append(l.Values, query.Value{Parts: g.value(code, p, &l, values)})
		values = g.values(t, code, nil)
	}
	if alias, ok := aliasOf(t, code); ok && g.chance(20) {
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

func (g *queryGenerator) modifier(p parameter) string {
	if g.chance(1) {
		return pick(g.r, []string{"above", "text", "in", "of-type"})
	}
	if !g.chance(35) && !(p.contains && g.chance(60)) {
		return ""
	}
	return pick(g.r, p.modifiers())
}

// values returns the values of a parameter in the target, or in all resources of the
// type if the target has none.
func (g *queryGenerator) values(t fhir.Type, code string, target *Resource) []value {
	if target != nil {
		if values := g.d.read(target, code); len(values) > 0 {
			return values
		}
	}
	var all []value
	for _, r := range g.d.byType[t] {
		all = append(all, g.d.read(r, code)...)
	}
	return all
}
