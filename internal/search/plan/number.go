package plan

import (
	"regexp"
	"strconv"

	"muster/internal/conformance"
	"muster/internal/search/query"
)

var timeForm = regexp.MustCompile(`^(eq|ne|gt|lt|ge|le)?([0-9]{1,4})$`)

// number reads a time of day as HHMM, such as 0830 or gt1700 (SR-43). Times are compared as
// whole numbers.
func (b *builder) number(p conformance.Param, v query.Value) (Node, string) {
	const instead = "write a time of day as HHMM with one of the prefixes eq ne gt lt ge le or none, such as ge0830"
	parts := timeForm.FindStringSubmatch(whole(v))
	if parts == nil {
		return nil, instead
	}
	n, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || n/100 > 23 || n%100 > 59 {
		return nil, instead
	}
	prefix := Prefix(parts[1])
	if prefix == "" {
		prefix = EQ
	}
	return Number{Param: p.ID, Prefix: prefix, Value: n}, ""
}
