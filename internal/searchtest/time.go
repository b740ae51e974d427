package searchtest

import (
	"strings"
	"time"
)

// zone is where dates without a zone of their own are.
type zone = *Zone

// Zone reads dates of FHIR.
type Zone struct{ loc *time.Location }

// NewZone reads dates without a zone in loc.
func NewZone(loc *time.Location) *Zone { return &Zone{loc} }

// precisions are the forms of a date, and how long each lasts.
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

// parse is the time that a date names, as ms since 1970: its first and the first
// after it.
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
			// Parse takes fractions behind seconds that the layout does not have.
			if strings.Contains(s, ".") != strings.Contains(p.layout, ".") {
				continue
			}
			end := t.AddDate(p.years, p.months, p.days).Add(p.length)
			return t.UnixMilli(), end.UnixMilli(), true
		}
	}
	return 0, 0, false
}
