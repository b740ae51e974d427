package report

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"muster/internal/fhir"
	"muster/internal/humanize"

	"github.com/valyala/fastjson"
)

// largest is the number of organisations in a report.
const largest = 15

// key is the hash of a Type/id. With 64 bits, the chance that two of ten million records
// have the same key is three in a million.
type key uint64

// collector collects the data of a report in one pass over the records.
type collector struct {
	seed   maphash.Seed
	parser fastjson.Parser
	report *Report

	types     map[string]*TypeCount
	known     map[key]bool
	pending   map[key][]link // references to records that have not been read yet
	states    map[key]uint8  // of organisations and locations
	orgs      map[key]*Organization
	orgRoles  map[key]int
	pracRoles map[key]int
	prac      []key
	idents    []Identifier
	reasons   []map[string]int
	values    map[key]bool
	cells     map[[2]int]int
	days      map[int64]int // records by day since 1970
	hides     states
}

// link is a reference whose target has not been read yet.
type link struct{ from, to string }

// Collect reads all records of a source. It counts texts that are not resources. An error
// of the source or of the context ends the collection.
func Collect(ctx context.Context, source Source) (*Report, error) {
	c := &collector{
		seed: maphash.MakeSeed(), report: new(Report), types: map[string]*TypeCount{}, known: map[key]bool{}, pending: map[key][]link{},
		states: map[key]uint8{}, orgs: map[key]*Organization{}, orgRoles: map[key]int{}, pracRoles: map[key]int{},
		values: map[key]bool{}, cells: map[[2]int]int{}, days: map[int64]int{}, hides: newStates(),
	}
	for _, r := range rules {
		c.idents = append(c.idents, Identifier{Name: r.name, System: r.system})
		c.reasons = append(c.reasons, map[string]int{})
	}
	for record, err := range source {
		if err != nil {
			return nil, err
		}
		if c.report.Records%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.record(record)
	}
	return c.finish(), nil
}

// key returns the key of a Type/id.
func (c *collector) key(s string) key { return key(maphash.String(c.seed, s)) }

// record adds one record.
func (c *collector) record(record Record) {
	v, err := c.parser.ParseBytes(record.JSON)
	typ, id := cmp.Or(record.Type, text(v, "resourceType")), text(v, "id")
	if err != nil || typ == "" || id == "" {
		c.report.Unreadable++
		return
	}
	self := typ + "/" + id
	k := c.key(self)
	c.report.Records++
	c.known[k] = true
	delete(c.pending, k)
	count := c.types[typ]
	if count == nil {
		count = &TypeCount{Type: typ, ByState: make([]int, len(States))}
		c.types[typ] = count
	}
	count.Total++
	if isInactive(v) {
		count.Inactive++
	}
	if isSuppressed(v) {
		count.Suppressed++
	}
	count.ByState[c.stateOf(typ, k, v)]++
	c.state(typ, self, v, record.State)
	c.age(v)
	c.references(self, v)
	c.identifiers(self, v)
	switch typ {
	case "Organization":
		c.orgs[k] = &Organization{Name: nameOf(v), ID: id, State: text(v, "address", "0", "state")}
	case "Location":
		c.position(v)
	case "Practitioner":
		c.prac = append(c.prac, k)
	case "PractitionerRole":
		c.orgRoles[c.key(text(v, "organization", "reference"))]++
		c.pracRoles[c.key(text(v, "practitioner", "reference"))]++
	}
}

// text returns a string below a value, or the empty string.
func text(v *fastjson.Value, path ...string) string {
	if v == nil {
		return ""
	}
	return string(v.GetStringBytes(path...))
}

// nameOf returns the name of an organisation.
func nameOf(v *fastjson.Value) string {
	if name := text(v, "name"); name != "" {
		return name
	}
	return "(name masked)"
}

// isInactive reports whether the flags of a record say that it is not active.
func isInactive(v *fastjson.Value) bool {
	if active := v.Get("active"); active != nil {
		return active.Type() == fastjson.TypeFalse
	}
	status := text(v, "status")
	return status != "" && status != "active"
}

// isSuppressed reports whether a record has a suppression.
func isSuppressed(v *fastjson.Value) bool {
	for _, e := range v.GetArray("extension") {
		if strings.HasSuffix(text(e, "url"), "/suppressed") {
			return true
		}
	}
	return false
}

// stateOf returns the column of a record, from its own address or that of its location or
// organisation.
func (c *collector) stateOf(typ string, k key, v *fastjson.Value) uint8 {
	state := uint8(none)
	named := func(name string) {
		if i := slices.Index(States[:none], name); i >= 0 {
			state = uint8(i)
		}
	}
	from := func(path ...string) {
		if s, ok := c.states[c.key(text(v, append(path, "reference")...))]; ok {
			state = s
		}
	}
	switch typ {
	case "Organization":
		named(text(v, "address", "0", "state"))
		c.states[k] = state
	case "Location":
		if named(text(v, "address", "state")); state == none {
			from("managingOrganization")
		}
		c.states[k] = state
	case "Endpoint":
		from("managingOrganization")
	case "HealthcareService", "PractitionerRole":
		from("location", "0")
	}
	return state
}

// age adds the meta.lastUpdated of a record.
func (c *collector) age(v *fastjson.Value) {
	updated, err := fhir.ParseInstant(text(v, "meta", "lastUpdated"))
	if err != nil {
		return
	}
	t := updated.Time()
	if t.After(c.report.Newest) {
		c.report.Newest = t
	}
	if c.report.Oldest.IsZero() || t.Before(c.report.Oldest) {
		c.report.Oldest = t
	}
	c.days[int64(math.Floor(float64(t.Unix())/86400))]++
}

// references adds the references of a record to records that have not been read yet, and
// those by a urn:, which nothing in a directory has.
func (c *collector) references(self string, v *fastjson.Value) {
	contained := fhir.ContainedIDs{In: v}
	fhir.EachReference(v, func(_ []byte, _ *fastjson.Value, text []byte) {
		target := string(text)
		switch to, err := fhir.ParseReference(target); {
		case err == nil:
			target = to.String()
		case contained.Lack(target):
			target = self + target
		case !fhir.IsURN(target):
			return
		}
		if k := c.key(target); !c.known[k] {
			c.pending[k] = append(c.pending[k], link{self, target})
		}
	})
}

// identifiers checks the identifiers of a record. A role repeats the numbers of its
// practitioner, so its identifiers do not count as duplicates.
func (c *collector) identifiers(self string, v *fastjson.Value) {
	check := func(list []*fastjson.Value, unique bool) {
		for _, identifier := range list {
			system := text(identifier, "system")
			i := slices.IndexFunc(rules, func(r rule) bool { return r.system == system })
			if i < 0 {
				continue
			}
			value := text(identifier, "value")
			c.idents[i].Checked++
			if why := rules[i].check(value); why != "" {
				c.idents[i].Failed++
				c.reasons[i][why]++
				if c.idents[i].Example == "" {
					c.idents[i].Example = self
				}
			}
			if k := c.key(system + "|" + value); unique && c.values[k] {
				c.idents[i].Duplicates++
			} else if unique {
				c.values[k] = true
			}
		}
	}
	check(v.GetArray("identifier"), !strings.HasPrefix(self, "PractitionerRole/"))
	for _, qualification := range v.GetArray("qualification") {
		check(qualification.GetArray("identifier"), true)
	}
}

// cellsPerDegree is the resolution of the map.
const cellsPerDegree = 10

// position adds the position of a location.
func (c *collector) position(v *fastjson.Value) {
	position := v.Get("position")
	if position == nil {
		return
	}
	c.report.Positions++
	cell := func(name string) int { return int(math.Floor(position.GetFloat64(name) * cellsPerDegree)) }
	c.cells[[2]int{cell("longitude"), cell("latitude")}]++
}

// finish completes the report.
func (c *collector) finish() *Report {
	r := c.report
	var types []string
	for _, t := range fhir.Types() {
		types = append(types, t.String())
	}
	for _, typ := range append(types, slices.Sorted(maps.Keys(c.types))...) {
		if count := c.types[typ]; count != nil {
			r.Types = append(r.Types, *count)
			delete(c.types, typ)
		}
	}
	c.finishStates()
	c.finishOrganizations()
	c.finishRoles()
	c.finishIdentifiers()
	c.finishReferences()
	c.finishAges()
	for cell, n := range c.cells {
		centre := func(i int) float64 { return (float64(i) + 0.5) / cellsPerDegree }
		r.Positioned = append(r.Positioned, Point{Lon: centre(cell[0]), Lat: centre(cell[1]), Count: n})
	}
	slices.SortFunc(r.Positioned, func(a, b Point) int { // the largest last, so that they are drawn on top
		return cmp.Or(a.Count-b.Count, cmp.Compare(a.Lon, b.Lon), cmp.Compare(a.Lat, b.Lat))
	})
	return r
}

func (c *collector) finishOrganizations() {
	for k, org := range c.orgs {
		org.Roles = c.orgRoles[k]
		if org.Roles > 0 {
			c.report.Organizations = append(c.report.Organizations, *org)
		}
	}
	slices.SortFunc(c.report.Organizations, func(a, b Organization) int { return cmp.Or(b.Roles-a.Roles, strings.Compare(a.ID, b.ID)) })
	c.report.Organizations = c.report.Organizations[:min(largest, len(c.report.Organizations))]
}

// classes is a list of ranges, each with its upper bound and label.
type classes []struct {
	upTo  int
	label string
}

// bars returns a bar for each class, with a count of 0.
func (cs classes) bars() []Bar {
	bars := make([]Bar, len(cs))
	for i := range cs {
		bars[i].Label = cs[i].label
	}
	return bars
}

// find returns the index of the class of n.
func (cs classes) find(n int) int {
	for i := range cs {
		if n <= cs[i].upTo {
			return i
		}
	}
	return len(cs) - 1
}

var (
	roleClasses = classes{{0, "none"}, {1, "1"}, {2, "2"}, {3, "3"}, {6, "4 to 6"}, {20, "7 to 20"}, {math.MaxInt, "more than 20"}}
	ageClasses  = classes{{7, "7 days"}, {30, "30 days"}, {90, "90 days"}, {180, "half a year"}, {365, "a year"}, {730, "two years"}, {math.MaxInt, "older"}}
)

func (c *collector) finishRoles() {
	c.report.RolesPer = roleClasses.bars()
	for _, k := range c.prac {
		c.report.RolesPer[roleClasses.find(c.pracRoles[k])].Count++
	}
}

func (c *collector) finishIdentifiers() {
	for i := range c.idents {
		for _, why := range slices.Sorted(maps.Keys(c.reasons[i])) {
			c.idents[i].Reasons = append(c.idents[i].Reasons, Bar{Label: why, Count: c.reasons[i][why]})
		}
		if c.idents[i].Checked > 0 {
			c.report.Identifiers = append(c.report.Identifiers, c.idents[i])
		}
	}
}

func (c *collector) finishReferences() {
	byTypes := map[[2]string]*Dangling{}
	for _, links := range c.pending {
		for _, l := range links {
			from, _, _ := strings.Cut(l.from, "/")
			to, _, _ := strings.Cut(l.to, "/")
			if fhir.IsURN(l.to) {
				to = "a urn:"
			}
			d := byTypes[[2]string{from, to}]
			if d == nil {
				d = &Dangling{From: from, To: to}
				byTypes[[2]string{from, to}] = d
			}
			d.Count++
			if example := l.from + " to " + l.to; d.Example == "" || example < d.Example {
				d.Example = example
			}
		}
	}
	for _, d := range byTypes {
		c.report.References = append(c.report.References, *d)
	}
	slices.SortFunc(c.report.References, func(a, b Dangling) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Example, b.Example))
	})
}

func (c *collector) finishAges() {
	if len(c.days) == 0 {
		return
	}
	newest := slices.Max(slices.Collect(maps.Keys(c.days)))
	c.report.Ages = ageClasses.bars()
	months := map[string]int{}
	for d, n := range c.days {
		c.report.Ages[ageClasses.find(int(newest-d))].Count += n
		months[time.Unix(d*86400, 0).UTC().Format("2006-01")] += n
	}
	for _, month := range slices.Sorted(maps.Keys(months)) {
		c.report.Months = append(c.report.Months, Bar{Label: month, Count: months[month]})
	}
}

// String returns the first line of the report.
func (r *Report) String() string {
	return fmt.Sprintf("%s records, updated from %s to %s", humanize.Int(r.Records), r.Oldest.Format(time.DateOnly), r.Newest.Format(time.DateOnly))
}
