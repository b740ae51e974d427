package fhir

import (
	"fmt"
	"math"
	"regexp"
	"time"
)

// Instant is a point in time in milliseconds since 1970-01-01T00:00:00Z. muster stores,
// compares and prints times with this precision. The zero Instant is 1970-01-01T00:00:00Z.
// Only job rows, whose times are always later, use it for "not set".
type Instant int64

// The first and the last Instant. They are the ends of an open period.
const (
	Always  Instant = math.MinInt64
	Forever Instant = math.MaxInt64
)

// InstantOf returns the Instant of t, truncated to milliseconds.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMilli()) }

// Time returns the Instant as a UTC time.
func (i Instant) Time() time.Time { return time.UnixMilli(int64(i)).UTC() }

// Format returns a FHIR instant with milliseconds and the offset of loc, such as
// 2026-03-01T09:30:00.000+11:00.
func (i Instant) Format(loc *time.Location) string {
	return i.Time().In(loc).Format("2006-01-02T15:04:05.000Z07:00")
}

// String returns the instant in UTC.
func (i Instant) String() string { return i.Format(time.UTC) }

var instantForm = regexp.MustCompile(`^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)$`)

// ParseInstant parses a FHIR instant: a date, a time with at least seconds, and a zone
// (KO-23). Fractions beyond milliseconds are truncated.
func ParseInstant(s string) (Instant, error) {
	if !instantForm.MatchString(s) {
		return 0, fmt.Errorf("%q is not an instant: write date, time and zone, such as 2026-03-01T09:30:00+11:00", s)
	}
	text, leap := withoutLeapSecond(s)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("%q is not an instant: no such date or time", s)
	}
	return InstantOf(t.Add(leap)), nil
}

// withoutLeapSecond returns a dateTime with a second of 60 replaced by 59, and the time to
// add to it: one second, as POSIX counts, so that 23:59:60 is 00:00:00 of the next day. FHIR
// allows 60 in any minute.
func withoutLeapSecond(s string) (text string, leap time.Duration) {
	const minute = len("2006-01-02T15:04")
	if len(s) < minute+3 || s[minute:minute+3] != ":60" {
		return s, 0
	}
	return s[:minute] + ":59" + s[minute+3:], time.Second
}

var timeForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?$`)

// ValidTime reports whether s is a FHIR time of day: hh:mm:ss, with or without a fraction. A
// second may be 60.
func ValidTime(s string) bool { return timeForm.MatchString(s) }

// Period is a half-open range of time: it includes From and excludes To.
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

// ParseDate parses a FHIR date or dateTime of any precision and returns its period (SR-44):
// 2010 is the whole year. A text without a zone is interpreted in loc.
func ParseDate(s string, loc *time.Location) (Period, error) {
	for _, f := range dateForms {
		if !f.form.MatchString(s) {
			continue
		}
		layout := f.layout
		text, leap := withoutLeapSecond(s)
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
		from := InstantOf(t.Add(leap))
		return Period{From: from, To: InstantOf(f.end(time.UnixMilli(int64(from)).In(t.Location())))}, nil
	}
	return Period{}, fmt.Errorf("%q is not a date: write a year, month, day or instant, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z", s)
}
