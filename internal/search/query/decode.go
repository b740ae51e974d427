package query

import (
	"unicode/utf8"
)

// piece is a part of the client's text with its percent-escapes decoded, and the offset of
// each byte in that text.
type piece struct {
	text string
	at   []int // offset in the source of each byte and of the end
}

// span returns the place in the source of the decoded bytes from start to end.
func (p piece) span(start, end int) Span { return Span{p.at[start], p.at[end]} }

// cut returns the part of the piece from start to end.
func (p piece) cut(start, end int) piece {
	return piece{text: p.text[start:end], at: p.at[start : end+1]}
}

func (p piece) whole() Span { return p.span(0, len(p.text)) }

// decode decodes the percent-escapes of source[from:to] (KO-35). A plus sign is itself,
// not a space: most filters are written without escapes. Package plan reads it by the type of
// the parameter. If the text is invalid, the second result says what is wrong and the Span
// where.
func decode(source string, from, to int) (piece, string, Span) {
	text := make([]byte, 0, to-from)
	at := make([]int, 0, to-from+1)
	for i := from; i < to; i++ {
		c, start := source[i], i
		if c == '%' {
			if i+2 >= to || !isHex(source[i+1]) || !isHex(source[i+2]) {
				return piece{}, "is a percent sign without two hexadecimal digits after it: write %25 for a percent sign", Span{i, min(i+3, to)}
			}
			c = unhex(source[i+1])<<4 | unhex(source[i+2])
			i += 2
		}
		if c < 0x20 || c == 0x7f {
			return piece{}, "is a control character: leave it out", Span{start, i + 1}
		}
		text = append(text, c)
		at = append(at, start)
	}
	at = append(at, to)
	if !utf8.Valid(text) {
		return piece{}, "is not valid UTF-8: write percent-escapes of UTF-8", Span{from, to}
	}
	return piece{text: string(text), at: at}, "", Span{}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}
