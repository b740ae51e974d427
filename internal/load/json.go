package load

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest. FHIR resources of the
// directory stay below 15.
const maxDepth = 64

// manyKeys is from how many members on an object's keys are kept in a map: below,
// comparing with each is faster.
const manyKeys = 32

// checker reads a JSON text once, strictly: grammar, UTF-8, pairs of surrogates,
// no control characters but those FHIR allows, no key twice in one object, no
// nesting beyond maxDepth. The tree parser behind it is lenient in all of these.
type checker struct {
	text  []byte
	at    int
	depth int
	keys  [][]byte // decoded keys of the objects that are open, innermost last
}

// check returns nil when text is exactly one JSON value by the rules above.
func (c *checker) check(text []byte) *Refusal {
	c.text, c.at, c.depth, c.keys = text, 0, 0, c.keys[:0]
	c.space()
	if r := c.value(); r != nil {
		return r
	}
	c.space()
	if c.at < len(c.text) {
		return c.bad("there is more after the end of the value")
	}
	return nil
}

func (c *checker) bad(what string) *Refusal {
	if c.at >= len(c.text) {
		return refuse(BadJSON, "the JSON text is cut off at byte %d", len(c.text))
	}
	return refuse(BadJSON, "at byte %d: %s", c.at+1, what)
}

func (c *checker) space() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// next reports whether the next byte is b, and passes it.
func (c *checker) next(b byte) bool {
	if c.at < len(c.text) && c.text[c.at] == b {
		c.at++
		return true
	}
	return false
}

func (c *checker) value() *Refusal {
	if c.at >= len(c.text) {
		return c.bad("a value is missing")
	}
	switch b := c.text[c.at]; {
	case b == '{':
		return c.nested(c.object)
	case b == '[':
		return c.nested(c.array)
	case b == '"':
		_, r := c.string()
		return r
	case b == 't':
		return c.word("true")
	case b == 'f':
		return c.word("false")
	case b == 'n':
		return c.word("null")
	case b == '-' || b >= '0' && b <= '9':
		return c.number()
	}
	return c.bad("this is not the start of a JSON value")
}

func (c *checker) nested(read func() *Refusal) *Refusal {
	if c.depth++; c.depth > maxDepth {
		return refuse(TooLarge, "at byte %d: objects and arrays nest deeper than %d", c.at+1, maxDepth)
	}
	c.at++
	r := read()
	c.depth--
	return r
}

func (c *checker) object() *Refusal {
	first := len(c.keys)
	defer func() { c.keys = c.keys[:first] }()
	var seen map[string]bool
	c.space()
	if c.next('}') {
		return nil
	}
	for {
		c.space()
		if c.at >= len(c.text) || c.text[c.at] != '"' {
			return c.bad("a member's key is missing")
		}
		key, r := c.string()
		if r != nil {
			return r
		}
		if c.repeated(key, first, &seen) {
			return refuse(DuplicateKey, "at byte %d: a key stands twice in one object", c.at)
		}
		c.space()
		if !c.next(':') {
			return c.bad("the colon after a key is missing")
		}
		c.space()
		if r := c.value(); r != nil {
			return r
		}
		c.space()
		if c.next('}') {
			return nil
		}
		if !c.next(',') {
			return c.bad("a comma or the end of the object is missing")
		}
	}
}

// repeated notes a key of the object whose keys start at first, and reports
// whether it was there before.
func (c *checker) repeated(key []byte, first int, seen *map[string]bool) bool {
	mine := c.keys[first:]
	c.keys = append(c.keys, key)
	if len(mine) < manyKeys {
		for _, k := range mine {
			if bytes.Equal(k, key) {
				return true
			}
		}
		return false
	}
	if *seen == nil {
		*seen = make(map[string]bool, 2*manyKeys)
		for _, k := range mine {
			(*seen)[string(k)] = true
		}
	}
	if (*seen)[string(key)] {
		return true
	}
	(*seen)[string(key)] = true
	return false
}

func (c *checker) array() *Refusal {
	c.space()
	if c.next(']') {
		return nil
	}
	for {
		c.space()
		if r := c.value(); r != nil {
			return r
		}
		c.space()
		if c.next(']') {
			return nil
		}
		if !c.next(',') {
			return c.bad("a comma or the end of the array is missing")
		}
	}
}

func (c *checker) word(w string) *Refusal {
	if !bytes.HasPrefix(c.text[c.at:], []byte(w)) {
		return c.bad("this is not the start of a JSON value")
	}
	c.at += len(w)
	return nil
}

func (c *checker) digits() bool {
	start := c.at
	for c.at < len(c.text) && c.text[c.at] >= '0' && c.text[c.at] <= '9' {
		c.at++
	}
	return c.at > start
}

// number passes a number, which a 64-bit float must be able to hold: searches and
// readers take it as one.
func (c *checker) number() *Refusal {
	start := c.at
	c.next('-')
	if !c.next('0') && !c.digits() {
		return c.bad("a digit is missing")
	}
	if c.next('.') && !c.digits() {
		return c.bad("a digit is missing after the point")
	}
	if c.next('e') || c.next('E') {
		if !c.next('+') {
			c.next('-')
		}
		if !c.digits() {
			return c.bad("a digit is missing in the exponent")
		}
	}
	if _, err := strconv.ParseFloat(string(c.text[start:c.at]), 64); err != nil {
		return refuse(BadJSON, "at byte %d: the number is too large; the largest are near 1.8e308", start+1)
	}
	return nil
}

// string passes a string and returns its text with escapes undone. Without
// escapes, that is a piece of the input.
func (c *checker) string() ([]byte, *Refusal) {
	c.at++
	start := c.at
	for c.at < len(c.text) {
		switch b := c.text[c.at]; {
		case b == '"':
			c.at++
			return c.text[start : c.at-1], nil
		case b == '\\':
			return c.escaped(start)
		case b < ' ':
			return nil, c.bad("a control character stands in a string; escape it")
		case b < utf8.RuneSelf:
			c.at++
		default:
			if r := c.rune(); r != nil {
				return nil, r
			}
		}
	}
	return nil, c.bad("")
}

// rune passes one character outside ASCII.
func (c *checker) rune() *Refusal {
	r, size := utf8.DecodeRune(c.text[c.at:])
	if r == utf8.RuneError && size <= 1 {
		return refuse(BadJSON, "at byte %d: the text is not UTF-8", c.at+1)
	}
	c.at += size
	return nil
}

// escaped reads the rest of a string that starts at start and has its first
// backslash here.
func (c *checker) escaped(start int) ([]byte, *Refusal) {
	decoded := append([]byte(nil), c.text[start:c.at]...)
	for c.at < len(c.text) {
		b := c.text[c.at]
		switch {
		case b == '"':
			c.at++
			return decoded, nil
		case b == '\\':
			r, refusal := c.escape()
			if refusal != nil {
				return nil, refusal
			}
			decoded = utf8.AppendRune(decoded, r)
		case b < ' ':
			return nil, c.bad("a control character stands in a string; escape it")
		case b < utf8.RuneSelf:
			decoded = append(decoded, b)
			c.at++
		default:
			from := c.at
			if r := c.rune(); r != nil {
				return nil, r
			}
			decoded = append(decoded, c.text[from:c.at]...)
		}
	}
	return nil, c.bad("")
}

var simpleEscapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape sequence.
func (c *checker) escape() (rune, *Refusal) {
	from := c.at
	c.at++
	if c.at >= len(c.text) {
		return 0, c.bad("")
	}
	r := simpleEscapes[c.text[c.at]]
	if c.text[c.at] == 'u' {
		c.at++
		high, ok := c.hex4()
		if !ok {
			c.at = from
			return 0, c.bad(`\u stands before fewer than four hex digits`)
		}
		r = high
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if c.next('\\') && c.next('u') {
				low, _ = c.hex4()
			}
			if r = utf16.DecodeRune(high, low); r == utf8.RuneError {
				c.at = from
				return 0, c.bad(`\u names half a character: surrogates come in pairs`)
			}
		}
	} else if r != 0 {
		c.at++
	} else {
		c.at = from
		return 0, c.bad("no such escape in JSON")
	}
	if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
		c.at = from
		return 0, c.bad("a control character stands in a string; FHIR allows tab, newline and return alone")
	}
	return r, nil
}

func (c *checker) hex4() (rune, bool) {
	if c.at+4 > len(c.text) {
		return 0, false
	}
	var r rune
	for _, b := range c.text[c.at : c.at+4] {
		switch {
		case b >= '0' && b <= '9':
			r = r<<4 | rune(b-'0')
		case b|0x20 >= 'a' && b|0x20 <= 'f':
			r = r<<4 | rune(b|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	c.at += 4
	return r, true
}
