package index

import (
	"errors"
	"math"
	"slices"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// valueFunc appends the entries of one element.
type valueFunc func(dst []Entry, r *rule, element *fastjson.Value) []Entry

// valueForm is a parameter type and the data type of its elements.
type valueForm struct {
	param   conformance.ParamType
	element string
}

// values are the functions that turn elements of a data type into entries of a parameter
// type, after the tables of FHIR search (R4, 3.1.1.4).
var values = map[valueForm]valueFunc{
	{conformance.Token, "Coding"}:              coding,
	{conformance.Token, "CodeableConcept"}:     codeableConcept,
	{conformance.Token, "Identifier"}:          identifier,
	{conformance.Token, "ContactPoint"}:        contactPoint,
	{conformance.Token, "boolean"}:             boolean,
	{conformance.Token, "code"}:                plainToken,
	{conformance.Token, "string"}:              plainToken,
	{conformance.Token, "id"}:                  plainToken,
	{conformance.Token, "uri"}:                 plainToken,
	{conformance.String, "string"}:             plainString,
	{conformance.String, "HumanName"}:          humanName,
	{conformance.String, "Address"}:            address,
	{conformance.Date, "date"}:                 date,
	{conformance.Date, "dateTime"}:             date,
	{conformance.Date, "instant"}:              date,
	{conformance.Date, "Period"}:               period,
	{conformance.Reference, "Reference"}:       reference,
	{conformance.Number, "time"}:               clock,
	{conformance.Special, "Location.Position"}: position,
	{conformance.URI, "uri"}:                   uri,
	{conformance.URI, "url"}:                   uri,
	{conformance.URI, "canonical"}:             uri,
}

// token appends a token entry if there is a system or a code. An entry without a code is
// found by system| (FHIR search, 3.1.1.4.10).
func (r *rule) token(dst []Entry, system, code []byte) []Entry {
	if len(code) == 0 && len(system) == 0 {
		return dst
	}
	e := Entry{Kind: Token, Param: r.param.ID}
	near := recent(dst)
	for i := range near {
		if near[i].System == string(system) {
			e.System = near[i].System
			break
		}
	}
	if e.System == "" && len(system) > 0 {
		e.System = System(string(system))
	}
	e.Code = r.spelled(dst, code)
	dst = append(dst, e)
	if len(code) > 0 && r.param.Type == conformance.Token && r.param.Takes("contains") {
		dst = append(dst, TokenText(e.Param, e.System, e.Code))
	}
	return dst
}

// recent returns the last entries of dst, most of them of the same resource. Parameters
// overlap (name and family, telecom and phone), so they often hold the next text already,
// folded and copied.
func recent(dst []Entry) []Entry { return dst[max(0, len(dst)-24):] }

// spelled returns the code or uri as entries of the parameter hold it.
func (r *rule) spelled(dst []Entry, text []byte) string {
	if r.spell != nil {
		return r.spell(string(text))
	}
	near := recent(dst)
	for i := range near {
		if near[i].Code == string(text) {
			return near[i].Code
		}
	}
	return string(text)
}

func coding(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.token(dst, element.GetStringBytes("system"), element.GetStringBytes("code"))
}

// codeableConcept appends a token for each coding. Its text is not a token.
func codeableConcept(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	for _, c := range element.GetArray("coding") {
		dst = coding(dst, r, c)
	}
	return dst
}

func identifier(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.token(dst, element.GetStringBytes("system"), element.GetStringBytes("value"))
}

// contactPoint appends the value without a system: the system of a ContactPoint (phone,
// email) is not the system of a token.
func contactPoint(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.token(dst, nil, element.GetStringBytes("value"))
}

func boolean(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	switch element.Type() {
	case fastjson.TypeTrue:
		return r.token(dst, nil, []byte("true"))
	case fastjson.TypeFalse:
		return r.token(dst, nil, []byte("false"))
	}
	return dst
}

// plainToken appends the text as a code without a system: resources do not contain the
// system of a code element.
func plainToken(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.token(dst, nil, element.GetStringBytes())
}

func plainString(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.textAndParts(dst, element.GetStringBytes())
}

// textAndParts appends a string entry and, for a parameter that finds family names by their
// parts, one for each part. A part has no exact text, so that :exact compares with the whole
// name alone.
func (r *rule) textAndParts(dst []Entry, text []byte) []Entry {
	before := len(dst)
	dst = r.text(dst, text)
	if r.param.Parts == 0 || len(dst) == before {
		return dst
	}
	for _, part := range Parts(dst[before].Norm) {
		dst = append(dst, Entry{Kind: String, Param: r.param.Parts, Norm: part})
	}
	return dst
}

// text appends a string entry, unless the text is blank. A text of punctuation alone folds
// to nothing: it is present, and :exact finds it.
func (r *rule) text(dst []Entry, text []byte) []Entry {
	if len(text) == 0 {
		return dst
	}
	near := recent(dst)
	for i := range near {
		// A bar may be that of a TokenText, of which only the code is folded.
		if near[i].Exact == string(text) && !strings.Contains(near[i].Exact, "|") {
			return append(dst, Entry{Kind: String, Param: r.param.ID, Norm: near[i].Norm, Exact: near[i].Exact})
		}
	}
	exact := string(text)
	norm := Fold(exact)
	if norm == "" && strings.TrimSpace(exact) == "" {
		return dst
	}
	return append(dst, Entry{Kind: String, Param: r.param.ID, Norm: norm, Exact: exact})
}

// humanName appends an entry for each part of a name, because a search matches the start of
// any part.
func humanName(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	dst = r.text(dst, element.GetStringBytes("text"))
	dst = r.textAndParts(dst, element.GetStringBytes("family"))
	for _, part := range [...]string{"given", "prefix", "suffix"} {
		dst = r.texts(dst, element.GetArray(part))
	}
	return dst
}

// address appends an entry for each part of an address.
func address(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	dst = r.texts(dst, element.GetArray("line"))
	for _, part := range [...]string{"text", "city", "district", "state", "postalCode", "country"} {
		dst = r.text(dst, element.GetStringBytes(part))
	}
	return dst
}

func (r *rule) texts(dst []Entry, list []*fastjson.Value) []Entry {
	for _, part := range list {
		dst = r.text(dst, part.GetStringBytes())
	}
	return dst
}

// date appends the period that a date of any precision names. A date without a zone is in
// [Zone].
func date(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	named, err := fhir.ParseDate(string(element.GetStringBytes()), Zone())
	if err != nil {
		return dst
	}
	return append(dst, Entry{Kind: Date, Param: r.param.ID, Period: named})
}

// period appends the period from the start of its start to the end of its end. An absent
// side is open.
func period(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	start, end := element.GetStringBytes("start"), element.GetStringBytes("end")
	if start == nil && end == nil {
		return dst
	}
	whole := fhir.Period{From: fhir.Always, To: fhir.Forever}
	if start != nil {
		named, err := fhir.ParseDate(string(start), Zone())
		if err != nil {
			return dst
		}
		whole.From = named.From
	}
	if end != nil {
		named, err := fhir.ParseDate(string(end), Zone())
		if err != nil {
			return dst
		}
		whole.To = named.To
	}
	return append(dst, Entry{Kind: Date, Param: r.param.ID, Period: whole})
}

// reference appends the target of a literal reference into the directory, without its
// version, and the identifier as a token (:identifier). Other references, such as those to a
// contained resource or to a type that the parameter cannot have, are only found by their
// identifier. One without an identifier has an empty token, so that :missing knows it.
func reference(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	before := len(dst)
	if logical := element.Get("identifier"); logical != nil {
		dst = identifier(dst, r, logical)
	}
	text := element.GetStringBytes("reference")
	target, err := fhir.ParseReference(string(text), r.bases...)
	switch {
	case len(text) > 0 && err == nil && slices.Contains(r.param.Target, target.Type):
		return append(dst, Entry{Kind: Reference, Param: r.param.ID, System: target.Type, Code: target.ID})
	case len(dst) == before && (len(text) > 0 || len(element.GetStringBytes("display")) > 0):
		return append(dst, Entry{Kind: Token, Param: r.param.ID})
	}
	return dst
}

func uri(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	text := r.spelled(dst, element.GetStringBytes())
	if text == "" { // also a canonical that is only a version
		return dst
	}
	return append(dst, Entry{Kind: URI, Param: r.param.ID, Code: text})
}

// clock appends a time of day as the number HHMM: 08:30:00 is 830 (SR-43).
func clock(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	text := element.GetStringBytes()
	if len(text) < len("00:00") || text[2] != ':' || len(text) > len("00:00") && text[5] != ':' {
		return dst
	}
	hour, ok1 := twoDigits(text[0:2])
	minute, ok2 := twoDigits(text[3:5])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return dst
	}
	return append(dst, Entry{Kind: Number, Param: r.param.ID, Number: 100*hour + minute})
}

func twoDigits(text []byte) (int64, bool) {
	tens, ones := text[0]-'0', text[1]-'0'
	return 10*int64(tens) + int64(ones), tens <= 9 && ones <= 9
}

// position appends a point on the earth. Incomplete or invalid positions have no entry
// (SR-53).
func position(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	latitude, err1 := number(element.Get("latitude"))
	longitude, err2 := number(element.Get("longitude"))
	if err1 != nil || err2 != nil || math.Abs(latitude) > 90 || math.Abs(longitude) > 180 {
		return dst
	}
	return append(dst, Entry{Kind: Location, Param: r.param.ID, Position: Position{latitude, longitude}})
}

var errNoNumber = errors.New("the element is missing")

func number(v *fastjson.Value) (float64, error) {
	if v == nil {
		return 0, errNoNumber
	}
	return v.Float64()
}
