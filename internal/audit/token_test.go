package audit

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tokenForm is what WithoutTokens must find, as a regular expression. That takes a microsecond for
// each byte, and a request has thousands.
var tokenForm = regexp.MustCompile(`(?i)(bearer(?: |\+|%20)+)[^&;#\s]+|eyJ[\w-]{8,}(?:\.[\w-]*)*|((?:access_|refresh_|id_)token=)[^&;#\s]+`)

// TestWithoutTokens compares WithoutTokens with its definition.
func TestWithoutTokens(t *testing.T) {
	t.Attr("requirements", "AD-02")
	pieces := []string{"bearer", "Bearer", "BEARER", " ", "+", "%20", "%2", "eyJ", "eyj", "abcdefgh", "a.b", ".", "..", "-", "_", "access_token=", "Refresh_Token=", "id_token=",
		"token=", "x", "é", "&", ";", "#", "\t", "\n", "/", "=", "e", "b", "a", "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), "")
		if got, want := WithoutTokens(text), tokenForm.ReplaceAllString(text, "${1}${2}…"); got != want {
			t.Fatalf("WithoutTokens(%q) = %q, want %q", text, got, want)
		}
	})
}

// TestCostOfTokens checks that the search for tokens costs little for each request, also in texts
// that look like many tokens.
func TestCostOfTokens(t *testing.T) {
	for _, piece := range []string{"x", "bearer", "bearer+", "eyJ", "eyJabcdefg.", "access_token", "access_token=&", "e", "+"} {
		text := strings.Repeat(piece, maxText/len(piece))
		best := time.Hour
		for range 5 {
			start := time.Now()
			WithoutTokens(text)
			best = min(best, time.Since(start))
		}
		if best > 3*time.Millisecond {
			t.Errorf("%q repeated: %v for %d bytes", piece, best, len(text))
		}
	}
}

// TestPath checks how much of a path an event has.
func TestPath(t *testing.T) {
	long := "/" + strings.Repeat("x", 20_000)
	for _, c := range []struct {
		status int
		routed bool
		want   int
	}{{200, true, maxText}, {404, true, maxRefusedText}, {404, false, maxUnrouted}} {
		if got := Path(long, c.status, c.routed); got != long[:c.want]+"…" {
			t.Errorf("status %d, routed %t: %d bytes, want %d", c.status, c.routed, len(got), c.want)
		}
	}
	if got := Path("/Organization/o1;access_token=abc\xff", 200, true); got != "/Organization/o1;access_token=…" {
		t.Errorf("path %q", got)
	}
}
