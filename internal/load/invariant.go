package load

import (
	"bytes"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// This file has the rules of FHIR R4 that its definitions do not state as a table: the formats
// of primitives and invariants of types. All of them are warnings.

// valueRule returns the kind and the text of a warning about a primitive value. The text is
// empty if there is none.
type valueRule func(v *fastjson.Value) (Kind, string)

// valueRules maps primitive types to their rules, beyond what primitives checks.
var valueRules = map[string]valueRule{
	"string":       length,
	"markdown":     length,
	"xhtml":        narrative,
	"positiveInt":  wholeNumber(1),
	"unsignedInt":  wholeNumber(0),
	"integer":      wholeNumber(-1 << 31),
	"id":           id,
	"oid":          pattern(`^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$`, "this is not an OID: write urn:oid: and numbers with dots"),
	"uuid":         pattern(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, "this is not a UUID: write urn:uuid: and a UUID in lower case"),
	"base64Binary": base64,
	"date":         day,
	"dateTime":     dateTime,
}

// maxString is the maximum number of characters in a string of FHIR R4.
const maxString = 1 << 20

// length warns about a string that is too long.
func length(v *fastjson.Value) (Kind, string) {
	if s := v.GetStringBytes(); len(s) > maxString && utf8.RuneCount(s) > maxString {
		return LongString, "FHIR R4 limits strings to 1,048,576 characters: other readers refuse it"
	}
	return "", ""
}

// pattern returns the rule that a value matches a regular expression.
func pattern(expression, wrong string) valueRule {
	form := regexp.MustCompile(expression)
	return func(v *fastjson.Value) (Kind, string) {
		if !form.Match(v.GetStringBytes()) {
			return BadValue, wrong
		}
		return "", ""
	}
}

// narrative warns about a text that is not an XHTML div element.
func narrative(v *fastjson.Value) (Kind, string) {
	if !bytes.HasPrefix(bytes.TrimLeft(v.GetStringBytes(), " \t\r\n"), []byte("<div")) {
		return BadValue, "a narrative is an XHTML div element: begin it with <div"
	}
	return "", ""
}

// id warns about the id of a contained resource that is not well-formed.
func id(v *fastjson.Value) (Kind, string) {
	if !fhir.ValidID(string(v.GetStringBytes())) {
		return BadValue, "this is not an id: write 1 to 64 letters, digits, hyphens and dots"
	}
	return "", ""
}

// wholeNumber returns the rule of a 32-bit integer of at least the given value.
func wholeNumber(least int64) valueRule {
	return func(v *fastjson.Value) (Kind, string) {
		n, err := v.Int64()
		switch {
		case err == nil && n < least && least == 1:
			return BadValue, "this is not a positive integer: write 1 or more"
		case err == nil && n < least && least == 0:
			return BadValue, "this integer is negative: write 0 or more"
		case err != nil || n < least || n > 1<<31-1:
			return BadValue, "this integer has more than 32 bits"
		}
		return "", ""
	}
}

// base64 warns about a character that base64 does not have.
func base64(v *fastjson.Value) (Kind, string) {
	for _, b := range v.GetStringBytes() {
		switch {
		case b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z':
		case b == '+' || b == '/' || b == '=' || b == ' ' || b == '\n' || b == '\r' || b == '\t':
		default:
			return BadValue, "this is not base64"
		}
	}
	return "", ""
}

// longestDay is the length of a date without a time.
const longestDay = len("2026-03-01")

// day warns about a time in a date.
func day(v *fastjson.Value) (Kind, string) {
	if len(v.GetStringBytes()) > longestDay {
		return BadValue, "a date has no time: write a year, month or day"
	}
	return "", ""
}

// dateTime warns about a time without seconds or zone.
func dateTime(v *fastjson.Value) (Kind, string) {
	s := v.GetStringBytes()
	if len(s) <= longestDay {
		return "", ""
	}
	if _, err := fhir.ParseInstant(string(s)); err != nil {
		return BadValue, "a time in FHIR R4 has seconds and a zone, such as 2026-03-01T09:30:00+11:00"
	}
	return "", ""
}

// invariant checks a rule of a type. seen is what the object v has.
type invariant func(c *checker, v *fastjson.Value, seen presence)

// invariants are the rules of types, by their keys in FHIR R4 where they have one.
var invariants = map[string]invariant{
	"Extension":         valueOrExtensions, // ext-1
	"Period":            startBeforeEnd,    // per-1
	"ContactPoint":      valueWithSystem,   // cpt-2
	"Location.position": coordinates,       // WGS 84
	"Organization":      organisation,      // org-1, org-2, org-3
}

// valueOrExtensions checks that an extension has either a value or extensions.
func valueOrExtensions(c *checker, v *fastjson.Value, seen presence) {
	hasValue, hasParts := seen.options[0] != 0, v.Exists("extension")
	switch {
	case hasValue && hasParts:
		c.warn(BadExtension, "", "the extension has both a value and extensions: write one of them")
	case !hasValue && !hasParts:
		c.warn(BadExtension, "", "the extension has neither a value nor extensions")
	}
}

// startBeforeEnd checks that a period does not end before it starts. Partial dates are
// intervals: only a start that is surely later counts.
func startBeforeEnd(c *checker, v *fastjson.Value, _ presence) {
	start, end := v.GetStringBytes("start"), v.GetStringBytes("end")
	if len(start) > 0 && len(end) > 0 && surelyAfter(start, end) {
		c.warn(BadPeriod, "", "the period ends before it starts")
	}
}

// surelyAfter reports whether one dateTime is later than another in any time zone.
func surelyAfter(later, earlier []byte) bool {
	if common := min(len(later), len(earlier)); max(len(later), len(earlier)) <= longestDay {
		return bytes.Compare(later[:common], earlier[:common]) > 0
	}
	from, err := fhir.ParseDate(string(later), time.UTC)
	if err != nil {
		return false
	}
	until, err := fhir.ParseDate(string(earlier), time.UTC)
	if err != nil {
		return false
	}
	first := from.From.Time()
	if len(later) <= longestDay || len(earlier) <= longestDay { // a date has no zone
		first = first.Add(-widestZone)
	}
	return !first.Before(until.To.Time())
}

// widestZone is the greatest difference between UTC and local time.
const widestZone = 14 * time.Hour

// valueWithSystem checks that a contact point with a value has a system.
func valueWithSystem(c *checker, v *fastjson.Value, _ presence) {
	if v.Exists("value") && !v.Exists("system") && !v.Exists("_system") {
		c.warn(MissingElement, "system", "a contact point with a value must have a system")
	}
}

// coordinates checks the range of a position.
func coordinates(c *checker, v *fastjson.Value, _ presence) {
	for _, axis := range [...]struct {
		name, limits string
		limit        float64
	}{{"longitude", "-180 to 180", 180}, {"latitude", "-90 to 90", 90}} {
		if n := v.Get(axis.name); n != nil {
			if degrees, err := n.Float64(); err == nil && (degrees < -axis.limit || degrees > axis.limit) {
				c.warn(BadValue, axis.name, "the degrees are not in the range "+axis.limits)
			}
		}
	}
}

// organisation checks that an Organization has an identifier or a name, and that its contacts
// and addresses are not those of a home.
func organisation(c *checker, v *fastjson.Value, _ presence) {
	if !v.Exists("identifier") && !v.Exists("name") && !v.Exists("_name") {
		c.warn(MissingElement, "name", "an Organization must have an identifier or a name")
	}
	for _, name := range [...]string{"telecom", "address"} {
		for i, item := range v.GetArray(name) {
			if isText(item.Get("use"), "home") {
				c.warn(BadValue, indexed(name, i)+".use", "an Organization has no home: write another use")
			}
		}
	}
}

// hasContent reports whether a resource has more than its type, id and meta.
func hasContent(v *fastjson.Value) (found bool) {
	v.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		name := strings.TrimPrefix(string(key), "_")
		found = found || name != "resourceType" && name != "id" && name != "meta"
	})
	return found
}
