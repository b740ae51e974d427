package humanize

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func ExampleInt() {
	fmt.Println(Int(999), Int(1000), Int(int64(-1234567)))
	// Output: 999 1,000 -1,234,567
}

func ExampleNewPrinter() {
	fmt.Println(NewPrinter().Sprintf("%d of %d resources", 1500, 20_000_000))
	// Output: 1,500 of 20,000,000 resources
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1: "1ns", 3456 * time.Microsecond: "3.46ms", 200 * time.Millisecond: "200ms", 5 * time.Second: "5s", 12345 * time.Millisecond: "12.3s",
		59999 * time.Millisecond: "1m", time.Minute: "1m", 90 * time.Second: "1m30s", 90*time.Second + 1: "1m30s", 10 * time.Minute: "10m",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 24 * time.Hour: "24h", 36 * time.Hour: "36h",
		48 * time.Hour: "2d", 7 * 24 * time.Hour: "7d", 49*time.Hour + 30*time.Minute: "2d1h30m", 48*time.Hour + 5*time.Minute + time.Second: "2d5m",
		-time.Second: "-1s", math.MinInt64: "-106751d23h47m",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "1d12h": 36 * time.Hour, "0": 0, "0s": 0, "0d": 0, "1.5h": 90 * time.Minute, "-1s": -time.Second, "2d0.5s": 2*day + 500*time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "d", "7days", "1d-1h", "1d 2h", "1h1d", "1.5d", "-1d", "99999999999d", "106751d99h", "soon"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0B", 512: "512B", 1023: "1023B", 1024: "1KiB", 1536: "1.5KiB", 32 << 10: "32KiB", 256 << 20: "256MiB", 79_000_000: "75.3MiB", 1_000_000: "976.6KiB", 1<<20 - 1: "1MiB",
		1 << 40: "1TiB", -2048: "-2KiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1000000": 1_000_000, "256MB": 256_000_000, "256mb": 256_000_000, "256 MB": 256_000_000, "1MiB": 1 << 20, "1.5GiB": 3 << 29, "1kB": 1000,
		"1KB": 1000, "12B": 12, "0.5KiB": 512, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "B", "-1", "-1MB", "1.5", "256M", "1e3MB", "0x1MB", "NaNMB", "InfGB", "99999999TiB", "9223372036854775808", "1,5MB", "many"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d", text, got)
		}
	}
}

// TestWrittenIsRead checks that every text is read as a value that is written in the same way.
func TestWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64-int64(day)).Draw(t, "duration"))
		if parsed, err := ParseDuration(Duration(d)); err != nil || Duration(parsed) != Duration(d) {
			t.Fatalf("%d is written as %s and read as %d, %v", d, Duration(d), parsed, err)
		}
		n := rapid.Int64Range(0, 1<<50).Draw(t, "bytes")
		if parsed, err := ParseBytes(Bytes(n)); err != nil || Bytes(parsed) != Bytes(n) {
			t.Fatalf("%d is written as %s and read as %d, %v", n, Bytes(n), parsed, err)
		}
	})
}

func TestList(t *testing.T) {
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}} {
		if got := List(words, "or"); got != want {
			t.Errorf("List(%q): %q, want %q", words, got, want)
		}
	}
}
