package fhir

import (
	"fmt"
	"regexp"
	"time"
)

// Instant is a point in time in milliseconds since 1970-01-01T00:00:00Z: the
// precision of everything that muster stores, compares and prints. The zero
// Instant is 1970 like any other; job rows alone, whose times are always later,
// use it for "not set".
type Instant int64

// InstantOf cuts a time to a Instant.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMilli()) }

// Time returns the Instant as a UTC time.
func (m Instant) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// Format writes a FHIR instant with milliseconds and the offset of loc, such as
// 2026-03-01T09:30:00.000+11:00.
func (m Instant) Format(loc *time.Location) string {
	return m.Time().In(loc).Format("2006-01-02T15:04:05.000Z07:00")
}

// String returns the instant in UTC.
func (m Instant) String() string { return m.Format(time.UTC) }

var instantForm = regexp.MustCompile(`^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)$`)

// ParseInstant reads a FHIR instant: date, time to the second at least, and a
// zone (KO-23). Fractions beyond milliseconds are cut off.
func ParseInstant(s string) (Instant, error) {
	if !instantForm.MatchString(s) {
		return 0, fmt.Errorf("%q is not an instant: write date, time and zone, such as 2026-03-01T09:30:00+11:00", s)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not an instant: no such date or time", s)
	}
	return InstantOf(t), nil
}

// Period is a half-open range of time: From is inside, To is the first Instant
// after it.
type Period struct{ From, To Instant }

var dateForms = []struct {
	form   *regexp.Regexp
	layout string
	end    func(time.Time) time.Time
}{
	{regexp.MustCompile(`^[0-9]{4}$`), "2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{regexp.MustCompile(`^[0-9]{4}-[0-9]{2}$`), "2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`), "2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?$`), "2006-01-02T15:04Z07:00", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?$`), "2006-01-02T15:04:05Z07:00", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+(Z|[+-][0-9]{2}:[0-9]{2})?$`), "2006-01-02T15:04:05.999999999Z07:00", func(t time.Time) time.Time { return t.Add(time.Millisecond) }},
}

var zoned = regexp.MustCompile(`(Z|[+-][0-9]{2}:[0-9]{2})$`)

// ParseDate reads a FHIR date or dateTime of any precision as the period that
// it names (SR-44): 2010 is the whole year. Text without a zone is read in loc.
func ParseDate(s string, loc *time.Location) (Period, error) {
	for _, f := range dateForms {
		if !f.form.MatchString(s) {
			continue
		}
		text, layout := s, f.layout
		hasZone := len(s) > len("2006-01-02") && zoned.MatchString(s[len("2006-01-02"):])
		if !hasZone && len(s) > len("2006-01-02") {
			layout = layout[:len(layout)-len("Z07:00")]
		}
		t, err := time.ParseInLocation(layout, text, loc)
		if err != nil {
			return Period{}, fmt.Errorf("%q is not a date: no such day or time", s)
		}
		if !hasZone {
			t = t.In(loc)
		}
		from := InstantOf(t)
		return Period{From: from, To: InstantOf(f.end(time.UnixMilli(int64(from)).In(t.Location())))}, nil
	}
	return Period{}, fmt.Errorf("%q is not a date: write a year, month, day or instant, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z", s)
}
