package load

import (
	"bytes"
	"strings"
	"time"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// primitives maps the primitive types of shapes.txt to a check that says what is
// wrong with a value, or nothing.
var primitives = map[string]func(*fastjson.Value) string{
	"boolean":   isBoolean,
	"string":    isString,
	"id":        isString, // the id itself is checked where it is read
	"code":      isCode,
	"uri":       isURI,
	"decimal":   isDecimal,
	"integer":   isInteger,
	"date":      isDate,
	"dateTime":  isDate,
	"instant":   isInstant,
	"time":      isTime,
	"reference": isReference,
}

const badReference = "this is not a reference: write Type/id, an absolute URL, a urn: or #id of a contained resource"

func primitiveKind(wrong string) Kind {
	if wrong == badReference {
		return BadReference
	}
	return BadShape
}

func isBoolean(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeTrue && v.Type() != fastjson.TypeFalse {
		return "this is not a boolean: write true or false without quotes"
	}
	return ""
}

func isString(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeString {
		return "this is not a string: put it in quotes"
	}
	return ""
}

func isCode(v *fastjson.Value) string {
	if wrong := isString(v); wrong != "" {
		return wrong
	}
	code := v.GetStringBytes()
	if len(bytes.TrimSpace(code)) != len(code) || bytes.Contains(code, []byte("  ")) || bytes.ContainsAny(code, "\t\n\r") {
		return "a code has no spaces around it and only single ones inside"
	}
	return ""
}

func isURI(v *fastjson.Value) string {
	if wrong := isString(v); wrong != "" {
		return wrong
	}
	if bytes.ContainsAny(v.GetStringBytes(), " \t\n\r") {
		return "a URI has no spaces"
	}
	return ""
}

func isDecimal(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeNumber {
		return "this is not a number: write it without quotes"
	}
	return ""
}

func isInteger(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeNumber || strings.ContainsAny(string(v.MarshalTo(nil)), ".eE") {
		return "this is not a whole number"
	}
	return ""
}

func isDate(v *fastjson.Value) string {
	if _, err := fhir.ParseDate(string(v.GetStringBytes()), time.UTC); err != nil {
		return "this is not a date: write a year, month, day or instant, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z"
	}
	return ""
}

func isInstant(v *fastjson.Value) string {
	if _, err := fhir.ParseInstant(string(v.GetStringBytes())); err != nil {
		return "this is not an instant: write date, time and zone, such as 2026-03-01T09:30:00+11:00"
	}
	return ""
}

func isTime(v *fastjson.Value) string {
	text := string(v.GetStringBytes())
	if _, err := time.Parse("15:04:05", text); err != nil || len(text) < len("15:04:05") {
		return "this is not a time of day: write hh:mm:ss"
	}
	return ""
}

func isReference(v *fastjson.Value) string {
	if wrong := isString(v); wrong != "" {
		return wrong
	}
	text := string(v.GetStringBytes())
	switch {
	case strings.ContainsAny(text, " \t\n\r"):
		return badReference
	case text[0] == '#':
		return ""
	case hasScheme(text):
		return ""
	}
	if _, err := fhir.ParseReference(text, ""); err != nil {
		return badReference
	}
	return ""
}

// hasScheme reports whether text is an absolute URI: a scheme, a colon, and more.
func hasScheme(text string) bool {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || scheme == "" || rest == "" || scheme[0]|0x20 < 'a' || scheme[0]|0x20 > 'z' {
		return false
	}
	for _, b := range []byte(scheme) {
		if (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') && b != '+' && b != '-' && b != '.' {
			return false
		}
	}
	return true
}
