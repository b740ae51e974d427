package query

import "strings"

// escapable are the characters that a backslash can escape.
const escapable = `\,|$`

// valueList splits a decoded value at its commas and bars and decodes the backslash
// escapes. It keeps empty values, about which package policy decides.
func (p *parser) valueList(value piece) ([]Value, bool) {
	var (
		values []Value
		parts  []string
		part   strings.Builder
		start  int
	)
	endPart := func() {
		parts = append(parts, part.String())
		part.Reset()
	}
	endValue := func(end int) {
		endPart()
		values = append(values, Value{Parts: parts, At: value.span(start, end)})
		parts, start = nil, end+1
	}
	for i := 0; i < len(value.text); i++ {
		switch c := value.text[i]; c {
		case '\\':
			if i+1 == len(value.text) || strings.IndexByte(escapable, value.text[i+1]) < 0 {
				p.refuse(value.span(i, min(i+2, len(value.text))), `is a backslash that escapes nothing: write \\ for a backslash, \, for a comma and \| for a bar`)
				return nil, false
			}
			i++
			part.WriteByte(value.text[i])
		case '|':
			endPart()
		case ',':
			endValue(i)
		default:
			part.WriteByte(c)
		}
	}
	endValue(len(value.text))
	p.values += len(values)
	return values, true
}
