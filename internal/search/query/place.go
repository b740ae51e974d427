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

// Place describes a piece of the client's text for a message: the piece in quotes, without
// percent-escapes, and its position in characters of the text from 1, such as
//
//	"location.address-city" at character 18
func (q Query) Place(s Span) string { return place(q.Source, s) }

func place(text string, s Span) string {
	start, end := s.within(text)
	if meant, problem, _ := decode(text, start, end); problem == "" {
		return quoteAt(text, start, meant.text)
	}
	return placeAsWritten(text, s)
}

// placeAsWritten is place with the percent-escapes of the client, for messages about the
// characters that separate pieces: escaped, they separate nothing.
func placeAsWritten(text string, s Span) string {
	start, end := s.within(text)
	return quoteAt(text, start, text[start:end])
}

// within returns the bounds of a span, limited to a text.
func (s Span) within(text string) (start, end int) {
	start = min(max(s.Start, 0), len(text))
	return start, min(max(s.End, start), len(text))
}

func quoteAt(text string, start int, piece string) string {
	return fmt.Sprintf("%s at character %d", quote(piece), utf8.RuneCountInString(text[:start])+1)
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
