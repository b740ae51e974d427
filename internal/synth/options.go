package synth

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Version is the version of the generator. Records of different versions have
// nothing in common; any change to the bytes written must raise it.
const Version = 2

// Scale is the size of a directory in thousandths: 1000 is scale 1, about
// 20,000 records; 250,000 is the whole country, about 5 million.
type Scale int

// Limits of a scale. Below the smallest the special cases do not fit; above
// the largest the identifiers run out.
const (
	MinScale Scale = 50      // 0.05, about 1,000 records
	MaxScale Scale = 500_000 // 500, about 10 million records
)

// scaleNames are the sizes with a name.
var scaleNames = map[string]Scale{
	"demo": 1_000, "ci": 5_000, "state": 60_000, "national": 250_000, "stress": 500_000,
}

// ParseScale reads a scale: a number from 0.05 to 500 with at most three
// decimals, or demo (1), ci (5), state (60), national (250), stress (500).
func ParseScale(text string) (Scale, error) {
	if s, ok := scaleNames[text]; ok {
		return s, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 16)
	if err == nil && len(fraction) <= 3 {
		var thousandths uint64
		thousandths, err = strconv.ParseUint((fraction + "000")[:3], 10, 16)
		if s := Scale(n*1000 + thousandths); err == nil && s >= MinScale && s <= MaxScale {
			return s, nil
		}
	}
	return 0, fmt.Errorf("scale %q: want a number from 0.05 to 500 with at most three decimals, or one of demo, ci, state, national, stress", text)
}

// String returns the scale as [ParseScale] reads it, without needless zeros.
func (s Scale) String() string {
	text := fmt.Sprintf("%d.%03d", s/1000, s%1000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// UnmarshalText reads a scale as [ParseScale] does.
func (s *Scale) UnmarshalText(text []byte) error {
	parsed, err := ParseScale(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// MarshalText writes a scale as [ParseScale] reads it.
func (s Scale) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// of returns the scaled number of something of which the country has this many.
func (s Scale) of(national int) int { return national * int(s) / 250_000 }

// Options say which directory to make. The zero value of every field but Scale
// is a good choice.
type Options struct {
	Scale Scale  // size, between MinScale and MaxScale
	Seed  uint64 // another seed, another country
	Days  int    // how many days of changes follow day 0, 0 to 366
	Dirty bool   // add 2 % broken records, described in truth/dirty.jsonl

	// ValidCheckDigits makes the check digits of ABN, ACN and Medicare provider
	// numbers right. Such numbers may belong to somebody.
	ValidCheckDigits bool

	// Workers is how many goroutines make records; 0 means one per processor.
	// It changes no byte.
	Workers int
}

func (o Options) check() error {
	if o.Scale < MinScale || o.Scale > MaxScale {
		return fmt.Errorf("scale %v: must be between %v and %v", o.Scale, MinScale, MaxScale)
	}
	if o.Days < 0 || o.Days > 366 {
		return fmt.Errorf("days %d: must be between 0 and 366", o.Days)
	}
	return nil
}

func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}
