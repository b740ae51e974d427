package fhirpath

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// token is one token of an expression.
type token struct {
	kind kind
	text string // the name, the symbol, or the literal without quotes and escapes
	at   int    // byte offset of the first character
}

type kind uint8

const (
	end    kind = iota
	name        // letters, digits and underscores: also keywords
	symbol      // . ( ) | = !=
	text        // 'quoted'
	this        // $this
)

// String returns the token for error messages.
func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case text:
		return "'" + t.text + "'"
	}
	return t.text
}

// syntaxError returns an error with a position in the expression.
func syntaxError(expression string, at int, format string, args ...any) error {
	return fmt.Errorf("expression %q at character %d: %s", expression, utf8.RuneCountInString(expression[:at])+1, fmt.Sprintf(format, args...))
}

// lex splits an expression into tokens. The last one is of kind end.
func lex(expression string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(expression); {
		c := expression[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case isNameByte(c):
			for i < len(expression) && isNameByte(expression[i]) {
				i++
			}
			tokens = append(tokens, token{name, expression[start:i], start})
		case strings.HasPrefix(expression[i:], "$this"):
			i += len("$this")
			tokens = append(tokens, token{this, "$this", start})
		case strings.HasPrefix(expression[i:], "!="):
			i += 2
			tokens = append(tokens, token{symbol, "!=", start})
		case strings.IndexByte(".()|=", c) >= 0:
			i++
			tokens = append(tokens, token{symbol, string(c), start})
		case c == '\'':
			value, length, err := quoted(expression, i)
			if err != nil {
				return nil, err
			}
			i += length
			tokens = append(tokens, token{text, value, start})
		default:
			r, _ := utf8.DecodeRuneInString(expression[i:])
			return nil, syntaxError(expression, i, "%q is not supported here", r)
		}
	}
	return append(tokens, token{end, "", len(expression)}), nil
}

// quoted reads the string literal that starts at i. It returns the value, and the length
// including both quotes.
func quoted(expression string, i int) (value string, length int, err error) {
	var b strings.Builder
	for j := i + 1; j < len(expression); j++ {
		switch c := expression[j]; c {
		case '\'':
			return b.String(), j + 1 - i, nil
		case '\\':
			j++
			if j == len(expression) || strings.IndexByte(`'\/"`, expression[j]) < 0 {
				return "", 0, syntaxError(expression, j-1, `the escape is not supported: only \' \" \\ and \/ are`)
			}
			b.WriteByte(expression[j])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, syntaxError(expression, i, "the string has no closing quote")
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
