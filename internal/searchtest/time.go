package searchtest

import (
	"strings"
	"time"
)

type zone = *Zone

// Zone parses FHIR dates.
type Zone struct{ loc *time.Location }

// NewZone returns a Zone that parses dates without a time zone in loc.
func NewZone(loc *time.Location) *Zone { return &Zone{loc} }

// precisions are the formats of a date and the duration of each.
var precisions = []struct {
	layout string
	years  int
	months int
	days   int
	length time.Duration
}{
	{layout: "2006", years: 1},
	{layout: "2006-01", months: 1},
	{layout: "2006-01-02", days: 1},
	{layout: "2006-01-02T15:04", length: time.Minute},
	{layout: "2006-01-02T15:04:05", length: time.Second},
	{layout: "2006-01-02T15:04:05.000", length: time.Millisecond},
}

// parse returns the period of a date in ms since 1970: from inclusive, to exclusive.
func (z *Zone) parse(s string) (from, to int64, ok bool) {
	for _, p := range precisions {
		for _, suffix := range []string{"", "Z07:00"} {
			if suffix != "" && !strings.Contains(p.layout, "T") {
				continue
			}
			t, err := time.ParseInLocation(p.layout+suffix, s, z.loc)
			if err != nil || len(s) < len(p.layout) {
				continue
			}
			// time.Parse accepts fractional seconds that the layout does not have.
			if strings.Contains(s, ".") != strings.Contains(p.layout, ".") {
				continue
			}
			end := t.AddDate(p.years, p.months, p.days).Add(p.length)
			return t.UnixMilli(), end.UnixMilli(), true
		}
	}
	return 0, 0, false
}
