package index

import "muster/internal/fhir"

// Entry is one thing that a resource can be found by: a row of one of the index
// tables. Which fields hold something follows from Kind.
type Entry struct {
	Kind  Kind
	Param int // conformance.Param.ID

	System string // Token: the coding's system, empty for none. Reference: the target's type name
	Code   string // Token: code or identifier value. Reference: the target's id. URI: the value

	Norm  string // String: the text folded by [Fold]
	Exact string // String: the text as it stands

	Period fhir.Period // Date: what the element names

	Number   int64    // Number: the value; starttime and endtime are HHMM
	Position Position // Location: where it is
}

// Position is a point on the earth in decimal degrees (WGS 84).
type Position struct{ Latitude, Longitude float64 }

// Kind is the index table that an entry belongs to.
type Kind uint8

// The kinds, one for each parameter type.
const (
	Token Kind = 1 + iota
	String
	Date
	Reference
	URI
	Number
	Location // a position, which near searches around
)
