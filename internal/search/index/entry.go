package index

import "muster/internal/fhir"

// Entry is a row of one of the index tables: a value by which a resource is found. The Kind
// decides which fields are set.
type Entry struct {
	Kind  Kind
	Param int // conformance.Param.ID

	System string // Token: the coding's system, empty for none. Reference: the target's type name
	Code   string // Token: code or identifier value. Reference: the target's id. URI: the value

	Norm  string // String: the text folded by [Fold]
	Exact string // String: the text itself

	Period fhir.Period // Date: the period that the element names

	Number   int64    // Number: the value; starttime and endtime are HHMM
	Position Position // Location: the position
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
	Location // a position, for near
)
