package index

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	t.Attr("requirements", "SR-04 SR-48")
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
		"O'Brien-Smith & Co":     "obrien smith & co",
		"O’Brien–Smith":          "obrien smith",
		"St. Vincent`s":          "st vincents",
		"St Vincents":            "st vincents",
		"1/2 A+B":                "1 2 a b",
		"Anne - Marie":           "anne marie",
		"Anne\u2011Marie":        "anne marie",
		"5\u22123":               "5 3",
		"co\u00adop\u200b":       "coop",
		"Straße STRASSE STRAẞE":  "strasse strasse strasse",
		"ΟΔΟΣ οδός":              "οδοσ οδοσ",
		"ﬁne":                    "fine",
		"\u1fb3":                 "α", // the iota below is an accent, not a letter
		"\u0149":                 "n", // folds to an apostrophe and a letter
		"ᎠᏠ \uab70\uabb0":        "\uab70\uabb0 \uab70\uabb0",
		"\u212a":                 "k", // the Kelvin sign
		"a.b":                    "ab",
		".":                      "",
		"-'’./+":                 "",
		"-a-":                    "a",
		"北京":                     "北京",
		"bad \xff byte":          "bad \ufffd byte",
		"\u0301":                 "",
		"a \u0301 b":             "a b",
		"147-153 Castlereagh ST": "147 153 castlereagh st",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

// naiveFold says the same as Fold in the plainest way.
func naiveFold(s string) string {
	drop := func(set ...*unicode.RangeTable) func(rune) rune {
		return func(r rune) rune {
			if unicode.In(r, set...) {
				return -1
			}
			return r
		}
	}
	s = strings.Map(drop(unicode.Mn), norm.NFD.String(s))
	s = strings.ToLower(strings.Map(drop(unicode.Mn, unicode.Cf), cases.Fold().String(s)))
	for _, c := range strings.Split("' . ` ´ ‘ ’ ‛ ′ ʻ ʼ", " ") {
		s = strings.ReplaceAll(s, c, "")
	}
	words := strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || strings.ContainsRune("/+−⁃", r)
	})
	return norm.NFD.String(strings.ToValidUTF8(strings.Join(words, " "), "\ufffd"))
}

func TestFoldEqualsNaive(t *testing.T) {
	texts := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ \tA-Za-zéÀßẞΣς\x{301}\x{2003}\x{ad}.'’/+–-]*`))
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

// TestParts holds what a family name is found by besides the whole.
func TestParts(t *testing.T) {
	t.Attr("requirements", "SR-48")
	for name, want := range map[string][]string{
		"":                 nil,
		".":                nil,
		"Quinones":         nil,
		"Carreño-Quiñones": {"quinones"},
		"van der Berg":     {"der berg", "berg"},
		"O'Brien":          nil,
	} {
		if got := Parts(Fold(name)); !slices.Equal(got, want) {
			t.Errorf("the parts of %q are %q, want %q", name, got, want)
		}
	}
	if got := Parts(strings.Repeat("a ", 5000) + "a"); len(got) != MaxParts {
		t.Errorf("a name of 5,000 words has %d parts, want %d", len(got), MaxParts)
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
