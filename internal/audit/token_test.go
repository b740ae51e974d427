package audit

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// tokenForm is what WithoutTokens must find, as a regular expression. That takes a microsecond for
// each byte, and a request has thousands. All separators behind Bearer belong to the word, and a
// name without a value is left as it is.
var tokenForm = regexp.MustCompile(`(?i)(bearer(?: |\+|%20)+|(?:access_|refresh_|id_)token=)([^&;#\s]*)|eyJ[\w-]{8,}(?:\.[\w-]*)*`)

// withoutTokens is the definition of WithoutTokens.
func withoutTokens(text string) string {
	return tokenForm.ReplaceAllStringFunc(text, func(match string) string {
		parts := tokenForm.FindStringSubmatch(match)
		if parts[1] != "" && parts[2] == "" {
			return match
		}
		return parts[1] + "…"
	})
}

// TestWithoutTokens compares WithoutTokens with its definition.
func TestWithoutTokens(t *testing.T) {
	t.Attr("requirements", "AD-02")
	pieces := []string{"bearer", "Bearer", "BEARER", " ", "+", "%20", "%2", "eyJ", "eyj", "abcdefgh", "a.b", ".", "..", "-", "_", "access_token=", "Refresh_Token=", "id_token=",
		"token=", "x", "é", "&", ";", "#", "\t", "\n", "/", "=", "e", "b", "a", "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), "")
		if got, want := WithoutTokens(text), withoutTokens(text); got != want {
			t.Fatalf("WithoutTokens(%q) = %q, want %q", text, got, want)
		}
	})
}

// BenchmarkWithoutTokens measures the search for tokens in the longest texts, also in those that
// look like many tokens.
func BenchmarkWithoutTokens(b *testing.B) {
	for _, piece := range []string{"x", "bearer", "bearer+", "eyJ", "eyJabcdefg.", "access_token", "access_token=&", "e", "+"} {
		text := strings.Repeat(piece, maxText/len(piece))
		b.Run(piece, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				WithoutTokens(text)
			}
		})
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
