package load

import (
	"bytes"
	"strings"
	"time"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// primitives maps the primitive types of FHIR R4, and the reference of a Reference, to a
// function that returns why a value is refused, or "". See also valueRules.
var primitives = map[string]func(*fastjson.Value) string{
	"boolean":      checkBoolean,
	"string":       checkString,
	"markdown":     checkString,
	"xhtml":        checkString,
	"base64Binary": checkString,
	"id":           checkString, // identify checks the id of a resource
	"code":         checkCode,
	"uri":          checkURI,
	"url":          checkURI,
	"canonical":    checkURI,
	"oid":          checkURI,
	"uuid":         checkURI,
	"decimal":      checkDecimal,
	"integer":      checkInteger,
	"positiveInt":  checkInteger,
	"unsignedInt":  checkInteger,
	"date":         checkDate,
	"dateTime":     checkDate,
	"instant":      checkInstant,
	"time":         checkTime,
}

const badReference = "this is not a reference: write Type/id, an absolute URL, a urn: or #id of a contained resource"

const conditionalReference = "this is a conditional reference: a load does not search for its target: write Type/id"

// primitiveKind returns the kind of refusal for the result of a primitive check.
func primitiveKind(wrong string) Kind {
	if wrong == badReference || wrong == conditionalReference {
		return BadReference
	}
	return BadShape
}

func checkBoolean(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeTrue && v.Type() != fastjson.TypeFalse {
		return "this is not a boolean: write true or false without quotes"
	}
	return ""
}

func checkString(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeString {
		return "this is not a string: put it in quotes"
	}
	return ""
}

// notSpace are the control characters that can be in a string: those that FHIR allows and
// those that cause a warning (see controlWarnings). A code, a URI or a reference has none.
const notSpace = "\t\n\r" + warnedControls

func checkCode(v *fastjson.Value) string {
	if wrong := checkString(v); wrong != "" {
		return wrong
	}
	code := v.GetStringBytes()
	if len(bytes.TrimSpace(code)) != len(code) || bytes.Contains(code, []byte("  ")) || bytes.ContainsAny(code, notSpace) {
		return "this is not a code: write it without leading, trailing and double spaces"
	}
	return ""
}

func checkURI(v *fastjson.Value) string {
	if wrong := checkString(v); wrong != "" {
		return wrong
	}
	if bytes.ContainsAny(v.GetStringBytes(), " "+notSpace) {
		return "this is not a URI: write it without spaces"
	}
	return ""
}

func checkDecimal(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeNumber {
		return "this is not a number: write it without quotes"
	}
	return ""
}

func checkInteger(v *fastjson.Value) string {
	if v.Type() != fastjson.TypeNumber || strings.ContainsAny(string(v.MarshalTo(nil)), ".eE") {
		return "this is not an integer: write a whole number without quotes"
	}
	return ""
}

func checkDate(v *fastjson.Value) string {
	if _, err := fhir.ParseDate(string(v.GetStringBytes()), time.UTC); err != nil {
		return "this is not a date: write a year, month, day or instant, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z"
	}
	return ""
}

func checkInstant(v *fastjson.Value) string {
	if _, err := fhir.ParseInstant(string(v.GetStringBytes())); err != nil {
		return "this is not an instant: write date, time and zone, such as 2026-03-01T09:30:00+11:00"
	}
	return ""
}

func checkTime(v *fastjson.Value) string {
	if !fhir.ValidTime(string(v.GetStringBytes())) {
		return "this is not a time of day: write hh:mm:ss"
	}
	return ""
}

func checkReference(v *fastjson.Value) string {
	if wrong := checkString(v); wrong != "" {
		return wrong
	}
	text := string(v.GetStringBytes())
	switch {
	case strings.ContainsAny(text, " "+notSpace):
		return badReference
	case text[0] == '#', hasScheme(text):
		return ""
	case fhir.IsConditional(text):
		return conditionalReference
	}
	if _, err := fhir.ParseReference(text); err != nil {
		return badReference
	}
	return ""
}

// hasScheme reports whether a text starts as an absolute URI does, with a scheme and a
// colon.
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
