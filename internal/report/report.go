package report

import "time"

// States are the columns of counts by state.
var States = []string{"NSW", "VIC", "QLD", "WA", "SA", "TAS", "ACT", "NT", "none"}

// none is the column of records without a known state.
const none = 8

// Report is a description of a directory.
type Report struct {
	Records    int       `json:"records"`
	Unreadable int       `json:"unreadable"` // texts that are not resources, such as damaged lines
	Newest     time.Time `json:"newest"`     // the latest meta.lastUpdated
	Oldest     time.Time `json:"oldest"`

	Types         []TypeCount    `json:"types"`
	Organizations []Organization `json:"largestOrganizations"` // by roles, the largest first
	RolesPer      []Bar          `json:"rolesPerPractitioner"`
	Identifiers   []Identifier   `json:"identifiers"`
	References    []Dangling     `json:"danglingReferences"`
	Hidden        []StateCount   `json:"hidden,omitempty"`              // of a data directory
	Hiders        []Hider        `json:"largestSuppressions,omitempty"` // the largest first, at most 15
	Changes       *Changes       `json:"changes,omitempty"`
	Ages          []Bar          `json:"age"`     // since the newest record
	Months        []Bar          `json:"updated"` // by month

	Positions  int     `json:"locationsWithPosition"`
	Positioned []Point `json:"map"` // positions in cells of a tenth of a degree
}

// TypeCount counts the records of one type. The states are those that the records show: in a data
// directory, a record shows what it inherits too.
type TypeCount struct {
	Type       string `json:"type"`
	Total      int    `json:"total"`
	Inactive   int    `json:"inactive"`
	Suppressed int    `json:"suppressed"`
	ByState    []int  `json:"byState"` // in the order of States
}

// Organization is an organisation and the number of its roles.
type Organization struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	State string `json:"state"`
	Roles int    `json:"roles"`
}

// Bar is one bar of a chart.
type Bar struct {
	Label string `json:"label"`
	Count int    `json:"count"`
}

// Identifier counts the identifiers of one kind and those that fail their check.
type Identifier struct {
	Name       string `json:"name"`
	System     string `json:"system"`
	Checked    int    `json:"checked"`
	Failed     int    `json:"failed"`
	Duplicates int    `json:"duplicates"` // values that an earlier record has and that should be unique
	Reasons    []Bar  `json:"reasons,omitempty"`
	Example    string `json:"example,omitempty"` // a record that fails: Type/id
}

// Dangling counts dangling references from one type to another.
type Dangling struct {
	From    string `json:"from"`
	To      string `json:"to"` // "a urn:" for references by a urn:, which nothing resolves
	Count   int    `json:"count"`
	Example string `json:"example"` // from Type/id to Type/id or to a urn:
}

// Point is a cell of the map: its centre in degrees and the number of its locations.
type Point struct {
	Lon   float64 `json:"lon"`
	Lat   float64 `json:"lat"`
	Count int     `json:"count"`
}
