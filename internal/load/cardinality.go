package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/r4"

	"github.com/valyala/fastjson"
)

// This file checks the cardinalities of the guide's profiles, where they are narrower than
// those of FHIR R4. A resource is checked against the profile of its type, whatever profiles it
// claims; a Location that claims to be a service coverage area against that profile.

// coverageProfile is the id of the profile of service coverage areas.
const coverageProfile = "hcpd-service-coverage-area"

// cardinalities are the rules of the profiles, by type. Those of coverage areas are apart.
type cardinalities struct {
	byType   map[fhir.Type]memberRules
	coverage memberRules
}

// memberRules are the rules about the members of an object.
type memberRules []memberRule

// memberRule has the rules about one member.
type memberRule struct {
	name   string
	key    []byte // the name
	count  *limit // of the items, or nil
	slices []sliceRule
	below  memberRules // about the members of each item
}

// sliceRule has the rules about those items of a member that meet conditions.
type sliceRule struct {
	step  r4.Step
	where []condition
	count *limit // of the items, or nil
	below memberRules
}

// limit is a cardinality, with the texts of the warnings about it.
type limit struct {
	min, max         int // max may be -1
	missing, tooMany string
}

// newLimit returns the limit of a rule about a step.
func newLimit(rule *r4.Rule, step r4.Step) *limit {
	what := ""
	if step.Where != nil {
		what = " of " + step.String()
	}
	profile := "the profile " + rule.Profile
	l := &limit{rule.Min, rule.Max, profile + " requires " + step.String(), profile + " allows at most " + strconv.Itoa(rule.Max) + what}
	if rule.Min > 1 {
		l.missing = profile + " requires at least " + strconv.Itoa(rule.Min) + what
	}
	return l
}

// condition is a condition of an item: a member is a text, or a CodeableConcept with a coding.
type condition struct{ member, text, system, code string }

// maxSlices is the maximum number of slices of one member.
const maxSlices = 8

// readCardinalities groups the rules of package r4.
func readCardinalities() (*cardinalities, error) {
	tables, err := r4.Load()
	if err != nil {
		return nil, err
	}
	c := &cardinalities{byType: map[fhir.Type]memberRules{}}
	for i := range tables.Profiles {
		rule := &tables.Profiles[i]
		t, ok := fhir.ParseType(rule.Type)
		if !ok {
			return nil, fmt.Errorf("the profile %s is of the type %s: use one of %s", rule.Profile, rule.Type, fhir.Names(fhir.Types()))
		}
		into := c.byType[t]
		if rule.Profile == coverageProfile {
			into = c.coverage
		}
		if into, err = into.add(rule, rule.Path); err != nil {
			return nil, err
		}
		if rule.Profile == coverageProfile {
			c.coverage = into
		} else {
			c.byType[t] = into
		}
	}
	return c, nil
}

// add adds a rule whose path begins at the object.
func (m memberRules) add(rule *r4.Rule, path []r4.Step) (memberRules, error) {
	step, rest := path[0], path[1:]
	i := slices.IndexFunc(m, func(one memberRule) bool { return one.name == step.Name })
	if i < 0 {
		i, m = len(m), append(m, memberRule{name: step.Name, key: []byte(step.Name)})
	}
	count, below := &m[i].count, &m[i].below
	if step.Where != nil {
		slice := m[i].slice(step)
		count, below = &slice.count, &slice.below
	}
	if len(m[i].slices) > maxSlices {
		return nil, fmt.Errorf("the profile %s has more slices of %s than the loader can count", rule.Profile, step.Name)
	}
	if len(rest) == 0 {
		*count = newLimit(rule, step)
		return m, nil
	}
	var err error
	*below, err = below.add(rule, rest)
	return m, err
}

// slice returns the rules of a slice, which it adds if necessary.
func (m *memberRule) slice(step r4.Step) *sliceRule {
	for i := range m.slices {
		if m.slices[i].step.String() == step.String() {
			return &m.slices[i]
		}
	}
	one := sliceRule{step: step}
	for _, c := range step.Where {
		system, code, coded := strings.Cut(c.Value, "|")
		if coded {
			one.where = append(one.where, condition{member: c.Member, system: system, code: code})
		} else {
			one.where = append(one.where, condition{member: c.Member, text: c.Value})
		}
	}
	m.slices = append(m.slices, one)
	return &m.slices[len(m.slices)-1]
}

// profile checks the cardinalities of the profile of a resource.
func (c *checker) profile(rules *cardinalities, t fhir.Type, v *fastjson.Value) {
	of := rules.byType[t]
	if t == fhir.Location && isCoverageArea(v) {
		of = rules.coverage
	}
	c.count(of, v)
}

// count counts the items of the members of an object.
func (c *checker) count(rules memberRules, v *fastjson.Value) {
	for i := range rules {
		rule := &rules[i]
		member := v.Get(rule.name)
		var items []*fastjson.Value
		n := 0
		switch {
		case member == nil:
			// The extensions of a primitive, such as a data-absent-reason, are an item (OB-07).
			if rule.count != nil && v.Exists("_"+rule.name) {
				n = 1
			}
		case member.Type() == fastjson.TypeArray:
			items = member.GetArray()
			n = len(items)
		default:
			items = []*fastjson.Value{member}
			n = 1
		}
		c.limit(rule.name, rule.count, n)
		if rule.slices != nil || rule.below != nil {
			c.countItems(rule, items, member != nil && member.Type() == fastjson.TypeArray)
		}
	}
}

// countItems counts the items of a member in each slice, and checks the rules below them.
func (c *checker) countItems(rule *memberRule, items []*fastjson.Value, many bool) {
	var counts [maxSlices]int
	c.path = append(c.path, step{rule.key, -1})
	last := len(c.path) - 1
	for i, item := range items {
		if many {
			c.path[last].item = i
		}
		if rule.below != nil {
			c.count(rule.below, item)
		}
		for s := range rule.slices {
			slice := &rule.slices[s]
			if !slice.has(item) {
				continue
			}
			counts[s]++
			if slice.below != nil {
				c.count(slice.below, item)
			}
		}
	}
	c.path = c.path[:last]
	for s := range rule.slices {
		c.limit(rule.name, rule.slices[s].count, counts[s])
	}
}

// limit compares the number of items of a member with its limit, which may be nil.
func (c *checker) limit(member string, l *limit, n int) {
	switch {
	case l == nil:
	case n < l.min:
		c.warn(ProfileMissing, member, l.missing)
	case l.max >= 0 && n > l.max:
		c.warn(ProfileExcess, member, l.tooMany)
	}
}

// has reports whether an item belongs to the slice.
func (s *sliceRule) has(item *fastjson.Value) bool {
	for i := range s.where {
		w := &s.where[i]
		member := item.Get(w.member)
		if member == nil || w.text != "" && !isText(member, w.text) || w.text == "" && !hasCoding(member, w.system, w.code) {
			return false
		}
	}
	return true
}

// hasCoding reports whether a CodeableConcept has a coding.
func hasCoding(concept *fastjson.Value, system, code string) bool {
	for _, coding := range concept.GetArray("coding") {
		if isText(coding.Get("system"), system) && isText(coding.Get("code"), code) {
			return true
		}
	}
	return false
}
