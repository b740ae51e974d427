package index

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns a text in the form in which string searches compare (SR-04, SR-48): without
// case (full Unicode case folding), accents, apostrophes, full stops and invisible format
// characters; hyphens of all kinds, slashes and plus signs as spaces; runs of spaces as one,
// trimmed. It is idempotent. Both sides of a comparison are folded, so that "  SYDNEY "
// equals "sydney", "Café" equals "cafe", "St. Vincent’s" equals "St Vincents" and "STRASSE"
// equals "Straße". Stored entries depend on Fold: increment indexRules of package conformance
// when it changes.
func Fold(s string) string {
	folded, ascii := inspect(s)
	switch {
	case folded:
		return s
	case ascii:
		return reduce(s)
	}
	// The accents are removed before the case: ypogegrammeni would fold to a letter.
	bare := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s))
	return norm.NFD.String(reduce(cases.Fold().String(bare)))
}

// reduce removes what [ignored] says, replaces what [separates] says by one space, trims, and
// turns letters to lower case: ASCII, and Cherokee, of which package cases folds the letters of
// each case to the other.
func reduce(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		switch {
		case ignored(r):
			continue
		case separates(r):
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// ignored reports whether a character has no meaning in a comparison: apostrophes as they are
// typed, full stops, accents, and format characters such as the soft hyphen.
func ignored(r rune) bool {
	switch r {
	case '\'', '.', '`', '\u00b4', '\u2018', '\u2019', '\u201b', '\u2032', '\u02bb', '\u02bc':
		return true
	}
	return r >= utf8.RuneSelf && unicode.In(r, unicode.Mn, unicode.Cf)
}

// separates reports whether a character separates words: white space, hyphens and dashes of
// all kinds, the minus sign, the hyphen bullet, the slash and the plus sign.
func separates(r rune) bool {
	switch r {
	case '-', '/', '+', '\u2212', '\u2043':
		return true
	}
	return unicode.IsSpace(r) || r >= utf8.RuneSelf && unicode.Is(unicode.Pd, r)
}

// inspect reports whether a text is folded already and whether it is ASCII. Most texts are
// ASCII, and many need no change.
func inspect(s string) (folded, ascii bool) {
	folded = true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			return false, false
		case c == ' ':
			if i == 0 || i == len(s)-1 || s[i+1] == ' ' {
				folded = false
			}
		case c >= 'A' && c <= 'Z', c >= '\t' && c <= '\r', c == '\'', c == '`', c == '.', c == '-', c == '/', c == '+':
			folded = false
		}
	}
	return folded, true
}

// MaxParts is how many parts of one family name are indexed.
const MaxParts = 20

// Parts returns the parts of a folded family name by which it is found besides the whole
// (SR-48): what follows each space, at most [MaxParts]. "van der berg" has "der berg" and
// "berg".
func Parts(folded string) []string {
	var parts []string
	for rest := folded; len(parts) < MaxParts; {
		_, after, more := strings.Cut(rest, " ")
		if !more {
			break
		}
		parts, rest = append(parts, after), after
	}
	return parts
}
