// Package humanize writes numbers, lists, durations and sizes for people, and reads durations and
// sizes as people write them. Whatever it writes as a duration or a size, it also reads.
package humanize

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Int returns a whole number with thousands separated: 1,234,567.
func Int[N ~int | ~int64](n N) string { return NewPrinter().Sprint(n) }

// NewPrinter returns a printer whose %d separates thousands.
func NewPrinter() *message.Printer { return message.NewPrinter(language.English) }

// List joins words for a sentence, with a word before the last one: "a, b and c" for "and".
func List(words []string, before string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " " + before + " " + words[last]
}

// day is 24 hours: durations have no calendar.
const day = 24 * time.Hour

// Duration returns a duration in the units that it needs: 7d, 24h, 1h30m, 12.3s, 340ms, 3.4ms.
// It is rounded to three digits below a minute, to seconds below two days, and to minutes from
// there on.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-max(d, -math.MaxInt64))
	}
	switch {
	case d < time.Minute:
		d = roundDigits(d)
	case d < 2*day:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	var text string
	if d >= 2*day {
		text = strconv.FormatInt(int64(d/day), 10) + "d"
		if d %= day; d == 0 {
			return text
		}
	}
	short := d.String() // such as 1h0m0s
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(short, unit) {
			short = strings.TrimSuffix(short, unit[1:])
		}
	}
	return text + short
}

// roundDigits rounds a duration to three digits.
func roundDigits(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// daysInDuration matches the days at the beginning of a duration.
var daysInDuration = regexp.MustCompile(`^(\d+)d`)

// ParseDuration reads a duration as numbers with units: 7d, 1d12h, 24h, 90s, 1.5h, 200ms, and 0.
func ParseDuration(text string) (time.Duration, error) {
	rest, days := text, time.Duration(0)
	if found := daysInDuration.FindStringSubmatch(text); found != nil {
		n, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, errDuration
		}
		days, rest = time.Duration(n)*day, text[len(found[0]):]
		if rest == "" {
			return days, nil
		}
		if rest[0] < '0' || rest[0] > '9' {
			return 0, errDuration
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days > 0 && d > math.MaxInt64-days {
		return 0, errDuration
	}
	return days + d, nil
}

var errDuration = errors.New("write a duration as numbers with units, such as 7d, 1h30m, 90s or 200ms")

// units of sizes, of which the powers of 1024 are written.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

// Bytes returns a number of bytes in the largest unit of 1024 that fits, with at most one
// decimal place: 512B, 1.5KiB, 256MiB.
func Bytes(n int64) string {
	for _, unit := range units[:4] {
		// In the next smaller unit it would be 1024 or more, rounded.
		if math.Round(math.Abs(float64(n))/float64(unit.bytes>>10)*10) >= 10240 {
			text := strconv.FormatFloat(float64(n)/float64(unit.bytes), 'f', 1, 64)
			return strings.TrimSuffix(text, ".0") + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// ParseBytes reads a number of bytes, alone or with a unit in any case: 1000000, 256MB, 1.5 GiB.
// kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB are powers of 1024.
func ParseBytes(text string) (int64, error) {
	number, unit := text, int64(1)
	for _, u := range units {
		if at := len(text) - len(u.name); at > 0 && strings.EqualFold(text[at:], u.name) {
			number, unit = strings.TrimSpace(text[:at]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/unit {
		return n * unit, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || unit == 1 || !(f >= 0 && f*float64(unit) < math.MaxInt64) || strings.ContainsAny(number, "xXpPeE_") {
		return 0, errors.New("write a number of bytes, alone or with a unit, such as 1000000, 256MB or 1.5GiB")
	}
	return int64(math.Round(f * float64(unit))), nil
}
