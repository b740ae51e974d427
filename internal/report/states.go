package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/valyala/fastjson"
)

// State is the state of a record of a data directory: what its own source says, and what it
// inherits from the resources that it belongs to.
type State struct {
	Known bool // the source knows the state

	Suppressed, Inactive                  bool // by its own source
	InheritsSuppression, InheritsInactive bool
}

// StateCount counts the hidden records of one type of a data directory. A record that is hidden by
// its own source and by others counts as its own.
type StateCount struct {
	Type               string `json:"type"`
	Suppressed         int    `json:"suppressed"`
	InheritsSuppressed int    `json:"suppressedByInheritance"` // of these, not by their own source
	ByOrganisation     int    `json:"organisationInitiated"`   // of these; a record may be of both
	ByPractitioner     int    `json:"practitionerInitiated"`
	Inactive           int    `json:"inactive"`
	InheritsInactive   int    `json:"inactiveByInheritance"` // of these, not by their own source
}

// Values returns the numbers in the order of the columns of tables.
func (s StateCount) Values() []int {
	return []int{s.Suppressed, s.InheritsSuppressed, s.ByOrganisation, s.ByPractitioner, s.Inactive, s.InheritsInactive}
}

// Hider is an organisation or a practitioner that suppresses records that belong to it.
type Hider struct {
	ID    string `json:"id"` // Type/id
	Name  string `json:"name,omitempty"`
	Count int    `json:"count"`
}

// states collects the states of records.
type states struct {
	counts map[string]*StateCount
	hiders map[key]*Hider // those that suppress what belongs to them
	hidden map[key]int    // records that inherit a suppression, by what they belong to
}

func newStates() states {
	return states{counts: map[string]*StateCount{}, hiders: map[key]*Hider{}, hidden: map[key]int{}}
}

// state adds a record of a data directory.
func (c *collector) state(typ, self string, v *fastjson.Value, s State) {
	if !s.Known {
		return
	}
	count := c.hides.counts[typ]
	if count == nil {
		count = &StateCount{Type: typ}
		c.hides.counts[typ] = count
	}
	if s.Inactive || s.InheritsInactive {
		count.Inactive++
		if !s.Inactive {
			count.InheritsInactive++
		}
	}
	organisation, practitioner := initiators(v)
	if s.Suppressed || s.InheritsSuppression {
		count.Suppressed++
		if !s.Suppressed {
			count.InheritsSuppressed++
		}
		if organisation {
			count.ByOrganisation++
		}
		if practitioner {
			count.ByPractitioner++
		}
	}
	if (typ == "Organization" || typ == "Practitioner") && isSuppressed(v) {
		name := text(v, "name")
		if typ == "Practitioner" {
			name = "" // of a person who does not want to be found
		}
		c.hides.hiders[c.key(self)] = &Hider{ID: self, Name: name}
	}
	if s.InheritsSuppression {
		for _, member := range []string{"providedBy", "managingOrganization", "organization", "practitioner"} {
			if to := text(v, member, "reference"); to != "" {
				c.hides.hidden[c.key(to)]++
			}
		}
	}
}

// initiators reports who suppressed a record, by the codes of its suppression.
func initiators(v *fastjson.Value) (organisation, practitioner bool) {
	for _, e := range v.GetArray("extension") {
		if !strings.HasSuffix(text(e, "url"), "/suppressed") {
			continue
		}
		for _, part := range e.GetArray("extension") {
			for _, coding := range part.GetArray("valueCodeableConcept", "coding") {
				code := text(coding, "code")
				organisation = organisation || code == "organisation-initiated"
				practitioner = practitioner || code == "practitioner-initiated"
			}
		}
	}
	return organisation, practitioner
}

// finishStates completes the counts of states.
func (c *collector) finishStates() {
	for _, t := range c.report.Types {
		if count := c.hides.counts[t.Type]; count != nil {
			c.report.Hidden = append(c.report.Hidden, *count)
		}
	}
	for k, hider := range c.hides.hiders {
		if hider.Count = c.hides.hidden[k]; hider.Count > 0 {
			c.report.Hiders = append(c.report.Hiders, *hider)
		}
	}
	slices.SortFunc(c.report.Hiders, func(a, b Hider) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.ID, b.ID)) })
	c.report.Hiders = c.report.Hiders[:min(largest, len(c.report.Hiders))]
}
