package index

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"   ":                    "",
		"clinic":                 "clinic",
		"SYDNEY":                 "sydney",
		"  Aged \t Care\r\n":     "aged care",
		"a  b":                   "a b",
		" a":                     "a",
		"a ":                     "a",
		"\u00a0a\u2003\u2003b":   "a b",
		"Café":                   "cafe",
		"Cafe\u0301":             "cafe",
		"ÅNGSTRÖM":               "angstrom",
		"\u212bngström":          "angstrom", // the sign decomposes to a letter
		"İstanbul":               "istanbul",
		"Nguyễn Thị":             "nguyen thi",
		"ΩΜΈΓΑ":                  "ωμεγα",
		"O'Brien-Smith & Co":     "o'brien-smith & co",
		"北京":                     "北京",
		"bad \xff byte":          "bad \ufffd byte",
		"\u0301":                 "",
		"a \u0301 b":             "a b",
		"147-153 Castlereagh ST": "147-153 castlereagh st",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

// naiveFold says the same as Fold in the plainest way.
func naiveFold(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(s) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestFoldEqualsNaive(t *testing.T) {
	texts := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ \tA-Za-zéÀ\x{301}\x{2003}]*`))
	rapid.Check(t, func(t *rapid.T) {
		s := texts.Draw(t, "text")
		got := Fold(s)
		if want := naiveFold(s); got != want {
			t.Fatalf("Fold(%q) = %q, the naive way gives %q", s, got, want)
		}
		if again := Fold(got); again != got {
			t.Fatalf("Fold(%q) = %q, but folded again %q", s, got, again)
		}
	})
}

// TestFoldIsStable folds every character there is twice.
func TestFoldIsStable(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		once := Fold(string(r))
		if twice := Fold(once); twice != once {
			t.Errorf("%U folds to %q and then to %q", r, once, twice)
		}
	}
}

func TestFoldKeepsFoldedTextAsItIs(t *testing.T) {
	text := strings.Repeat("aged care ", 20) + "end"
	if allocs := testing.AllocsPerRun(100, func() { _ = Fold(text) }); allocs > 0 {
		t.Errorf("folding folded ASCII allocates %v times", allocs)
	}
}

func TestSystem(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"http://snomed.info/sct": "http://snomed.info/sct",
		"http://snomed.info/sct/32506021000036107":                  "http://snomed.info/sct",
		"http://snomed.info/sct/32506021000036107/version/20260131": "http://snomed.info/sct",
		"http://snomed.info/sctx":                                   "http://snomed.info/sctx",
		"http://x":                                                  "http://x",
	} {
		if got := System(in); got != want {
			t.Errorf("System(%q) = %q, want %q", in, got, want)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	for name, text := range map[string]string{"folded": "balmain aged care", "ascii": "Balmain Aged Care", "accents": "Café Müller Béla"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = Fold(text)
			}
		})
	}
}
