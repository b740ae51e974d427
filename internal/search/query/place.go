package query

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuote is how many characters of a piece a message quotes.
const maxQuote = 60

// Place describes a piece of the client's text for a message: the piece in quotes and its
// position in characters from 1, such as
//
//	"location.address-city" at character 18
func (q Query) Place(s Span) string { return place(q.Source, s) }

func place(text string, s Span) string {
	start := min(max(s.Start, 0), len(text))
	end := min(max(s.End, start), len(text))
	position := utf8.RuneCountInString(text[:start]) + 1
	return fmt.Sprintf("%s at character %d", quote(text[start:end]), position)
}

func quote(piece string) string {
	if utf8.RuneCountInString(piece) > maxQuote {
		piece = string([]rune(piece)[:maxQuote]) + "…"
	}
	if strings.ContainsFunc(piece, unicode.IsControl) {
		return strconv.Quote(piece)
	}
	return `"` + piece + `"`
}
