package index

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns a text in the form in which string searches compare: lower case, without
// accents, runs of white space as one space, trimmed. It is idempotent. Both sides of a
// comparison are folded, so that "  SYDNEY " equals "sydney" and "Café" equals "cafe".
func Fold(s string) string {
	switch folded, ascii := inspect(s); {
	case folded:
		return s
	case !ascii:
		s = norm.NFD.String(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			gap = b.Len() > 0
			continue
		case r >= utf8.RuneSelf && unicode.Is(unicode.Mn, r):
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
		case c >= 'A' && c <= 'Z', c >= '\t' && c <= '\r':
			folded = false
		}
	}
	return folded, true
}
