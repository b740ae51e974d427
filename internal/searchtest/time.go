package searchtest

import (
	"regexp"
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
	{layout: "2006-01-02T15:04:05.9", length: time.Millisecond}, // with any number of digits
}

// leapSecond matches a second of 60, which FHIR allows and package time does not.
var leapSecond = regexp.MustCompile(`^(.*T[0-9]{2}:[0-9]{2}):60(.*)$`)

// parse returns the period of a date in ms since 1970: from inclusive, to exclusive. A second
// of 60 is the first of the next minute.
func (z *Zone) parse(s string) (from, to int64, ok bool) {
	if leapSecond.MatchString(s) {
		from, to, ok = z.parse(leapSecond.ReplaceAllString(s, "$1:59$2"))
		return from + 1000, to + 1000, ok
	}
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
