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

// valueFunc adds the entries that one element gives.
type valueFunc func(dst []Entry, r *rule, element *fastjson.Value) []Entry

// valueForm is a parameter type over a data type.
type valueForm struct {
	param   conformance.ParamType
	element string
}

// values says how elements of a data type become entries of a parameter type,
// after the tables of FHIR search (R4, 3.1.1.4).
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

// token adds a token entry, unless there is nothing to find it by. One that has a
// system alone is found by system| (FHIR search, 3.1.1.4.10).
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

// recent are the entries that stand just before the next one, most of them of the
// same resource. Parameters overlap (name and family, telecom and phone), so the
// text at hand is often there already, folded and copied.
func recent(dst []Entry) []Entry { return dst[max(0, len(dst)-24):] }

// spelled is the code or uri as entries of the parameter hold it.
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

// codeableConcept gives a token for each coding. Its text is no token.
func codeableConcept(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	for _, c := range element.GetArray("coding") {
		dst = coding(dst, r, c)
	}
	return dst
}

func identifier(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.token(dst, element.GetStringBytes("system"), element.GetStringBytes("value"))
}

// contactPoint gives its value. Its system (phone, email) is not the system of a
// token, so the entry has none.
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

// plainToken gives the text as a code without a system: resources do not name the
// system of a code element.
func plainToken(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.token(dst, nil, element.GetStringBytes())
}

func plainString(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	return r.text(dst, element.GetStringBytes())
}

// text adds a string entry, unless nothing is left of the text when folded.
func (r *rule) text(dst []Entry, text []byte) []Entry {
	if len(text) == 0 {
		return dst
	}
	near := recent(dst)
	for i := range near {
		// Behind a bar may stand the code of a TokenText, which is folded alone.
		if near[i].Exact == string(text) && !strings.Contains(near[i].Exact, "|") {
			return append(dst, Entry{Kind: String, Param: r.param.ID, Norm: near[i].Norm, Exact: near[i].Exact})
		}
	}
	exact := string(text)
	norm := Fold(exact)
	if norm == "" {
		return dst
	}
	return append(dst, Entry{Kind: String, Param: r.param.ID, Norm: norm, Exact: exact})
}

// humanName gives each part of a name by itself, because a search matches the
// start of any part.
func humanName(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	dst = r.text(dst, element.GetStringBytes("text"))
	dst = r.text(dst, element.GetStringBytes("family"))
	for _, part := range [...]string{"given", "prefix", "suffix"} {
		dst = r.texts(dst, element.GetArray(part))
	}
	return dst
}

// address gives each part of an address by itself.
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

// The ends of a period that has none.
const (
	always  fhir.Instant = math.MinInt64
	forever fhir.Instant = math.MaxInt64
)

// date gives the whole time that a date of any precision names. A date without a
// zone is read in [Zone].
func date(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	named, err := fhir.ParseDate(string(element.GetStringBytes()), Zone())
	if err != nil {
		return dst
	}
	return append(dst, Entry{Kind: Date, Param: r.param.ID, Period: named})
}

// period gives the time from the start of its start to the end of its end; an
// absent side is open.
func period(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	start, end := element.GetStringBytes("start"), element.GetStringBytes("end")
	if start == nil && end == nil {
		return dst
	}
	whole := fhir.Period{From: always, To: forever}
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

// reference gives the target of a literal reference into the directory, whichever
// version it names, and its identifier as a token (:identifier). References that
// lead elsewhere, or to a type that the parameter cannot have, are searchable by
// their identifier only.
func reference(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	if logical := element.Get("identifier"); logical != nil {
		dst = identifier(dst, r, logical)
	}
	text := element.GetStringBytes("reference")
	if len(text) == 0 {
		return dst
	}
	target, err := fhir.ParseReference(string(text), r.baseURL)
	if err != nil || !slices.Contains(r.param.Target, target.Type) {
		return dst
	}
	return append(dst, Entry{Kind: Reference, Param: r.param.ID, System: target.Type, Code: target.ID})
}

func uri(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	text := element.GetStringBytes()
	if len(text) == 0 {
		return dst
	}
	return append(dst, Entry{Kind: URI, Param: r.param.ID, Code: r.spelled(dst, text)})
}

// clock gives a time of day as the number HHMM, so 08:30:00 is 830 (SR-43).
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

// position gives a point on the earth; half a point, or one off the earth, is none
// (SR-53).
func position(dst []Entry, r *rule, element *fastjson.Value) []Entry {
	latitude, err1 := number(element.Get("latitude"))
	longitude, err2 := number(element.Get("longitude"))
	if err1 != nil || err2 != nil || math.Abs(latitude) > 90 || math.Abs(longitude) > 180 {
		return dst
	}
	return append(dst, Entry{Kind: Location, Param: r.param.ID, Position: Position{latitude, longitude}})
}

var errNoNumber = errors.New("there is no number")

func number(v *fastjson.Value) (float64, error) {
	if v == nil {
		return 0, errNoNumber
	}
	return v.Float64()
}
