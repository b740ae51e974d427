package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"muster/internal/fhir"
)

// Changes counts what has changed in a directory since a time.
type Changes struct {
	Since time.Time `json:"since"` // changes after this time are counted
	// Complete is false if earlier changes are missing, since the log begins later, at Since.
	Complete bool        `json:"complete"`
	Zone     string      `json:"zone"`  // time zone of the days
	Kinds    []string    `json:"kinds"` // the columns of the counts
	Types    []ChangeRow `json:"types"` // the sums of the days
	Days     []ChangeRow `json:"days"`  // by day and then by type

	zone *time.Location
	rows map[[2]string]*ChangeRow
}

// ChangeRow counts the changes of one type, on a day or in all. A change may be of several kinds.
type ChangeRow struct {
	Day    string `json:"day,omitempty"`
	Type   string `json:"type"`
	Counts []int  `json:"counts"`
}

// NewChanges returns counts of changes of some kinds after since, by days in the zone.
func NewChanges(since time.Time, complete bool, zone *time.Location, kinds []string) *Changes {
	return &Changes{Since: since.UTC(), Complete: complete, Zone: zone.String(), Kinds: kinds, zone: zone, rows: map[[2]string]*ChangeRow{}}
}

// Add counts one change. The bits of kinds stand for c.Kinds, the lowest for the first.
func (c *Changes) Add(at time.Time, typ string, kinds uint) {
	for _, key := range [][2]string{{"", typ}, {at.In(c.zone).Format(time.DateOnly), typ}} {
		row := c.rows[key]
		if row == nil {
			row = &ChangeRow{Day: key[0], Type: key[1], Counts: make([]int, len(c.Kinds))}
			c.rows[key] = row
		}
		for n := range row.Counts {
			if kinds&(1<<n) != 0 {
				row.Counts[n]++
			}
		}
	}
}

// Finish sorts the counts after the last change.
func (c *Changes) Finish() {
	c.Types, c.Days = []ChangeRow{}, []ChangeRow{}
	for key, row := range c.rows {
		if key[0] == "" {
			c.Types = append(c.Types, *row)
		} else {
			c.Days = append(c.Days, *row)
		}
	}
	order := func(a, b ChangeRow) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), cmp.Compare(typeOrder(a.Type), typeOrder(b.Type)))
	}
	slices.SortFunc(c.Types, order)
	slices.SortFunc(c.Days, order)
}

// typeOrder returns the place of a type in loading order.
func typeOrder(name string) int {
	t, _ := fhir.ParseType(name)
	return slices.Index(fhir.Types(), t)
}
