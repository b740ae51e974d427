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

// Difference says how the entries of two forms of a resource differ.
type Difference struct{ Gone, Added []Entry }

// Compare returns the difference between two lists of entries. Its lists are new.
func Compare(before, after []Entry) (d Difference) {
	// The lists are equal except for a few entries, mostly at the same places.
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	return Difference{Gone: without(before, after), Added: without(after, before)}
}

// without returns the entries that are not in the list.
func without(entries, list []Entry) (left []Entry) {
	listed := make(map[Entry]bool, len(list))
	for _, e := range list {
		listed[e] = true
	}
	for _, e := range entries {
		if !listed[e] {
			left = append(left, e)
		}
	}
	return left
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
