// Package strictjson validates JSON texts before a lenient parser reads them. It rejects
// what parsers read in different ways: duplicate names in an object, text that is not UTF-8,
// deep nesting, and syntax that RFC 8259 does not allow.
//
// A [Validator] reads a text once and builds no tree. The caller then parses the text with a
// parser that may assume well-formed input. Errors name a byte offset and never repeat a
// value of the text, since values may be private.
//
// encoding/json/jsontext also rejects duplicate names and invalid UTF-8, but not deep nesting,
// control characters and large numbers. Checking those needs a loop over its tokens, which takes
// 1.6 times as long as this package on FHIR resources, and its errors quote values.
package strictjson

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is the number of objects and arrays that may nest. FHIR resources of the
// directory stay below 15.
const MaxDepth = 64

// manyNames is the number of members from which the names of an object are kept in a map.
// Below it, comparing with each name is faster.
const manyNames = 32

// Kind classifies an error.
type Kind int

// The kinds of errors.
const (
	Syntax         Kind = iota // not JSON, not UTF-8, or a value that I-JSON and FHIR do not allow
	Truncated                  // the text ends inside a value
	DuplicateKey               // an object has two members of one name
	TooDeep                    // more than MaxDepth objects and arrays nest
	TooManyMembers             // more than Options.MaxCommas
	TooLong                    // an array or an object is longer than Options.MaxItems or MaxMembers
)

// Error is the first problem of a text.
type Error struct {
	Kind   Kind
	Offset int    // of the byte at fault, from 0; the length of the text if it is truncated
	Text   string // what is wrong, without a value of the text
	Path   []Step // to the array or the object that is too long; otherwise nil
}

// Error returns the place, with bytes counted from 1, and the text.
func (e *Error) Error() string {
	if e.Kind == Truncated {
		return fmt.Sprintf("the JSON text is cut off at byte %d", e.Offset)
	}
	return fmt.Sprintf("at byte %d: %s", e.Offset+1, e.Text)
}

// Options configures a [Validator]. The zero value checks grammar, UTF-8, depth and
// duplicate names.
type Options struct {
	// CheckValues also rejects escapes of unpaired surrogates (RFC 7493), escapes of control
	// characters that FHIR does not allow, and numbers that a 64-bit float cannot hold. It
	// counts escapes of backspace, vertical tab and form feed in [Validator.Controls], since
	// widespread readers accept these.
	CheckValues bool

	// MaxCommas limits the commas outside strings, and so the number of members and items. A
	// tree parser allocates about a hundred bytes for each. Defaults to no limit.
	MaxCommas int

	// MaxItems limits the items of each array, except that of the member Unlimited of the
	// root. Defaults to no limit.
	MaxItems  int
	Unlimited string
	// MaxMembers limits the members of each object. Defaults to no limit.
	MaxMembers int

	// Duplicate is called for each member whose name an earlier member of its object has.
	// The path leads from the root to the member and is valid during the call. Defaults to
	// an error of kind [DuplicateKey] at the first one.
	Duplicate func(path []Step)
}

// Step is one step of a path: a member of an object or an item of an array.
type Step struct {
	Name  []byte // of the member, with escapes decoded; nil for an item
	Index int    // of the item, from 0
}

// Validator validates JSON texts. It reuses its buffers, so it serves one goroutine. The
// zero value is ready to use.
type Validator struct {
	Options

	// Controls is the number of escapes of backspace, vertical tab and form feed in the last
	// text. FHIR does not allow these characters. Only set with [Options.CheckValues].
	Controls int

	text   []byte
	at     int
	commas int
	open   []container // innermost last
	names  [][]byte    // decoded names of the open objects, innermost last
	path   []Step
}

// container is an object or an array that is open.
type container struct {
	array bool
	index int // of the current item of an array
	first int // of its names in Validator.names, for an object
}

// Validate returns nil if text is exactly one JSON value, and an [*Error] otherwise.
func (v *Validator) Validate(text []byte) error {
	v.text, v.at, v.commas, v.open, v.names, v.Controls = text, 0, 0, v.open[:0], v.names[:0], 0
	v.space()
	if err := v.value(); err != nil {
		return err
	}
	v.space()
	if v.at < len(v.text) {
		return v.syntax("there is more text after the value")
	}
	return nil
}

func (v *Validator) syntax(what string) *Error {
	if v.at >= len(v.text) {
		return &Error{Kind: Truncated, Offset: len(v.text), Text: "the text is cut off"}
	}
	return &Error{Kind: Syntax, Offset: v.at, Text: what}
}

func (v *Validator) space() {
	for v.at < len(v.text) {
		switch v.text[v.at] {
		case ' ', '\t', '\n', '\r':
			v.at++
		default:
			return
		}
	}
}

// accept reports whether the next byte is b, and consumes it if so.
func (v *Validator) accept(b byte) bool {
	if v.at < len(v.text) && v.text[v.at] == b {
		v.at++
		return true
	}
	return false
}

func (v *Validator) value() *Error {
	if v.at >= len(v.text) {
		return v.syntax("a value is missing")
	}
	switch b := v.text[v.at]; {
	case b == '{' || b == '[':
		return v.container(b == '[')
	case b == '"':
		_, err := v.string()
		return err
	case b == 't':
		return v.literal("true")
	case b == 'f':
		return v.literal("false")
	case b == 'n':
		return v.literal("null")
	case b == '-' || b >= '0' && b <= '9':
		return v.number()
	}
	return v.syntax("this is not the start of a JSON value")
}

func (v *Validator) container(array bool) (err *Error) {
	if len(v.open) == MaxDepth {
		return &Error{Kind: TooDeep, Offset: v.at, Text: fmt.Sprintf("objects and arrays nest deeper than %d", MaxDepth)}
	}
	v.at++
	first := len(v.names)
	v.open = append(v.open, container{array: array, first: first})
	if array {
		err = v.array()
	} else {
		err = v.object(first)
	}
	v.open, v.names = v.open[:len(v.open)-1], v.names[:first]
	return err
}

// object reads the members of an object whose names start at first.
func (v *Validator) object(first int) *Error {
	var seen map[string]bool
	v.space()
	if v.accept('}') {
		return nil
	}
	for {
		v.space()
		if v.at >= len(v.text) || v.text[v.at] != '"' {
			return v.syntax("the key of a member is missing")
		}
		name, err := v.string()
		if err != nil {
			return err
		}
		if v.MaxMembers > 0 && len(v.names)-first == v.MaxMembers {
			return v.tooLong("an object has more than %d members", v.MaxMembers)
		}
		if v.repeated(name, first, &seen) {
			if v.Duplicate == nil {
				return &Error{Kind: DuplicateKey, Offset: v.at - 1, Text: "an object has the same key twice"}
			}
			v.Duplicate(v.currentPath())
		}
		v.space()
		if !v.accept(':') {
			return v.syntax("the colon after a key is missing")
		}
		v.space()
		if err := v.value(); err != nil {
			return err
		}
		v.space()
		if v.accept('}') {
			return nil
		}
		if err := v.comma("a comma or the end of the object is missing"); err != nil {
			return err
		}
	}
}

// repeated adds a name to the object whose names start at first, and reports whether the
// object had it already.
func (v *Validator) repeated(name []byte, first int, seen *map[string]bool) bool {
	known := v.names[first:]
	v.names = append(v.names, name)
	if len(known) < manyNames {
		for _, n := range known {
			if bytes.Equal(n, name) {
				return true
			}
		}
		return false
	}
	if *seen == nil {
		*seen = make(map[string]bool, 2*manyNames)
		for _, n := range known {
			(*seen)[string(n)] = true
		}
	}
	if (*seen)[string(name)] {
		return true
	}
	(*seen)[string(name)] = true
	return false
}

// currentPath returns the path of the member whose name was just read.
func (v *Validator) currentPath() []Step {
	v.path = v.path[:0]
	for n, c := range v.open {
		switch {
		case c.array:
			v.path = append(v.path, Step{Index: c.index})
		case n+1 < len(v.open):
			v.path = append(v.path, Step{Name: v.names[v.open[n+1].first-1]})
		default:
			v.path = append(v.path, Step{Name: v.names[len(v.names)-1]})
		}
	}
	return v.path
}

func (v *Validator) array() *Error {
	v.space()
	if v.accept(']') {
		return nil
	}
	for {
		v.space()
		if err := v.value(); err != nil {
			return err
		}
		v.space()
		if v.accept(']') {
			return nil
		}
		if err := v.comma("a comma or the end of the array is missing"); err != nil {
			return err
		}
		if v.open[len(v.open)-1].index++; v.open[len(v.open)-1].index == v.MaxItems && !v.unlimited() {
			return v.tooLong("an array has more than %d items", v.MaxItems)
		}
	}
}

// unlimited reports whether the innermost array is the one without a limit.
func (v *Validator) unlimited() bool {
	return len(v.open) == 2 && !v.open[0].array && v.Unlimited != "" && string(v.names[len(v.names)-1]) == v.Unlimited
}

// tooLong returns the error about the innermost array or object.
func (v *Validator) tooLong(format string, limit int) *Error {
	path := v.currentPath()
	e := &Error{Kind: TooLong, Offset: v.at, Text: fmt.Sprintf(format, limit)}
	for _, step := range path[:len(path)-1] { // without the item or the member that is too many
		e.Path = append(e.Path, Step{bytes.Clone(step.Name), step.Index})
	}
	return e
}

func (v *Validator) comma(missing string) *Error {
	if !v.accept(',') {
		return v.syntax(missing)
	}
	if v.commas++; v.MaxCommas > 0 && v.commas > v.MaxCommas {
		return &Error{Kind: TooManyMembers, Offset: v.at - 1, Text: fmt.Sprintf("the text has more than %d members and items", v.MaxCommas)}
	}
	return nil
}

func (v *Validator) literal(word string) *Error {
	if !bytes.HasPrefix(v.text[v.at:], []byte(word)) {
		return v.syntax("this is not the start of a JSON value")
	}
	v.at += len(word)
	return nil
}

func (v *Validator) digits() bool {
	start := v.at
	for v.at < len(v.text) && v.text[v.at] >= '0' && v.text[v.at] <= '9' {
		v.at++
	}
	return v.at > start
}

func (v *Validator) number() *Error {
	start := v.at
	v.accept('-')
	if !v.accept('0') && !v.digits() {
		return v.syntax("a digit is missing")
	}
	if v.accept('.') && !v.digits() {
		return v.syntax("a digit is missing after the decimal point")
	}
	if v.accept('e') || v.accept('E') {
		if !v.accept('+') {
			v.accept('-')
		}
		if !v.digits() {
			return v.syntax("a digit is missing in the exponent")
		}
	}
	if !v.CheckValues {
		return nil
	}
	if _, err := strconv.ParseFloat(string(v.text[start:v.at]), 64); err != nil {
		return &Error{Kind: Syntax, Offset: start, Text: "the number is too large; the largest are near 1.8e308"}
	}
	return nil
}

// string reads a string and returns its text with escapes decoded. Without escapes, the
// result is a slice of the input.
func (v *Validator) string() ([]byte, *Error) {
	v.at++
	start := v.at
	for v.at < len(v.text) {
		switch b := v.text[v.at]; {
		case b == '"':
			v.at++
			return v.text[start : v.at-1], nil
		case b == '\\':
			return v.escaped(start)
		case b < ' ':
			return nil, v.syntax("a string has a control character; escape it")
		case b < utf8.RuneSelf:
			v.at++
		default:
			if err := v.rune(); err != nil {
				return nil, err
			}
		}
	}
	return nil, v.syntax("")
}

// rune reads one character outside ASCII.
func (v *Validator) rune() *Error {
	r, size := utf8.DecodeRune(v.text[v.at:])
	if r == utf8.RuneError && size <= 1 {
		return &Error{Kind: Syntax, Offset: v.at, Text: "the text is not UTF-8"}
	}
	v.at += size
	return nil
}

// escaped reads the rest of a string that starts at start and has its first backslash at the
// current position.
func (v *Validator) escaped(start int) ([]byte, *Error) {
	decoded := append([]byte(nil), v.text[start:v.at]...)
	for v.at < len(v.text) {
		b := v.text[v.at]
		switch {
		case b == '"':
			v.at++
			return decoded, nil
		case b == '\\':
			r, err := v.escape()
			if err != nil {
				return nil, err
			}
			decoded = utf8.AppendRune(decoded, r)
		case b < ' ':
			return nil, v.syntax("a string has a control character; escape it")
		case b < utf8.RuneSelf:
			decoded = append(decoded, b)
			v.at++
		default:
			from := v.at
			if err := v.rune(); err != nil {
				return nil, err
			}
			decoded = append(decoded, v.text[from:v.at]...)
		}
	}
	return nil, v.syntax("")
}

var simpleEscapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape sequence.
func (v *Validator) escape() (rune, *Error) {
	from := v.at
	v.at++
	if v.at >= len(v.text) {
		return 0, v.syntax("")
	}
	r := simpleEscapes[v.text[v.at]]
	switch {
	case v.text[v.at] == 'u':
		v.at++
		code, ok := v.hex4()
		if !ok {
			v.at = from
			return 0, v.syntax(`\u needs four hexadecimal digits`)
		}
		r = code
	case r != 0:
		v.at++
	default:
		v.at = from
		return 0, v.syntax("JSON has no such escape")
	}
	if utf16.IsSurrogate(r) {
		return v.lowSurrogate(from, r)
	}
	if v.CheckValues && r < ' ' {
		switch r {
		case '\t', '\n', '\r':
		case '\b', '\v', '\f':
			v.Controls++
		default:
			v.at = from
			return 0, v.syntax("a string has a control character; FHIR allows only tab, newline and return")
		}
	}
	return r, nil
}

// lowSurrogate reads the second half of a surrogate pair whose first half, high, starts at
// from. Without [Options.CheckValues] an unpaired surrogate decodes to U+FFFD.
func (v *Validator) lowSurrogate(from int, high rune) (rune, *Error) {
	end, low := v.at, rune(-1)
	if v.accept('\\') && v.accept('u') {
		low, _ = v.hex4()
	}
	r := utf16.DecodeRune(high, low)
	if r == utf8.RuneError {
		if v.CheckValues {
			v.at = from
			return 0, v.syntax(`\u escapes half of a surrogate pair`)
		}
		v.at = end
	}
	return r, nil
}

// hex4 reads four hexadecimal digits.
func (v *Validator) hex4() (rune, bool) {
	if v.at+4 > len(v.text) {
		return 0, false
	}
	var r rune
	for _, b := range v.text[v.at : v.at+4] {
		switch {
		case b >= '0' && b <= '9':
			r = r<<4 | rune(b-'0')
		case b|0x20 >= 'a' && b|0x20 <= 'f':
			r = r<<4 | rune(b|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	v.at += 4
	return r, true
}
