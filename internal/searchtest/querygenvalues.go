package searchtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode"

	"muster/internal/search/query"
)

// value writes one value of a query, from one of the values of the directory. It may
// take the modifier of the criterion away where it fits no value.
func (a *queryGenerator) value(code string, p parameter, l *query.Criterion, values []value) []string {
	var v value
	if len(values) > 0 {
		v = pick(a.r, values)
	}
	switch p.kind {
	case token:
		return a.token(code, p, *l, v)
	case str:
		return []string{a.string(l.Modifier, v)}
	case uri:
		return a.uri(v)
	case date:
		return []string{pick(a.r, []string{"", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"}) + a.date(v)}
	case hhmm:
		return []string{pick(a.r, []string{"", "eq", "ne", "gt", "lt", "ge", "le"}) + a.hhmm(v)}
	case reference:
		return a.reference(p, *l, v)
	}
	return a.near(v)
}

func (a *queryGenerator) token(code string, p parameter, l query.Criterion, v value) []string {
	if code == "_id" && a.chance(30) {
		v.code = pick(a.r, idPool)
	}
	if v.code == "" && v.system != "" && l.Modifier == "" {
		return []string{v.system, ""}
	}
	if code != "_id" && (v.code == "" || a.chance(10)) {
		v = value{system: pick(a.r, systemPool), code: pick(a.r, codePool)}
	}
	if l.Modifier == "contains" {
		runes := []rune(v.code)
		from := a.r.IntN(len(runes))
		part := strings.TrimSpace(string(runes[from : from+1+a.r.IntN(len(runes)-from)]))
		if part != "" {
			return []string{part}
		}
		return []string{v.code}
	}
	if p.caseless && a.chance(50) {
		v.code = a.changeCase(v.code)
	}
	if p.spaceIsPlus && a.chance(30) {
		return []string{strings.ReplaceAll(v.code, "+", " ")}
	}
	if code == "_id" {
		if v.code == "" {
			v.code = pick(a.r, idPool)
		}
		return []string{v.code}
	}
	switch a.r.IntN(10) {
	case 0, 1, 2:
		return []string{a.equivalentSystem(v.system), v.code}
	case 3:
		if v.system != "" {
			return []string{a.equivalentSystem(v.system), ""}
		}
	case 4:
		return []string{"", v.code}
	}
	return []string{v.code}
}

// equivalentSystem is another name of a system sometimes, if it has one.
func (a *queryGenerator) equivalentSystem(s string) string {
	for range 3 {
		other := pick(a.r, append(systemPool, "http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs",
			"http://terminology.hl7.org.au/CodeSystem/service-provision-conditions", "http://hl7.org.au/fhir/CodeSystem/endpoint-payload-type",
			"http://digitalhealth.gov.au/fhir/hcpd/id/hc-local-identifier"))
		if canonicalSystem(other) == canonicalSystem(s) {
			return other
		}
	}
	return s
}

func (a *queryGenerator) string(modifier string, v value) string {
	if fold(v.text) == "" || a.chance(10) {
		v.text = pick(a.r, textPool)
	}
	v.text = strings.ReplaceAll(v.text, "\t", " ") // a query holds no control characters
	if modifier == "exact" {
		if a.chance(20) {
			return a.changeCase(v.text)
		}
		return v.text
	}
	runes := []rune(v.text)
	from := 0
	if modifier == "contains" {
		from = a.r.IntN(len(runes))
	}
	part := string(runes[from : from+1+a.r.IntN(len(runes)-from)])
	if a.chance(40) {
		part = a.changeCase(part)
	}
	if fold(part) == "" {
		return v.text
	}
	return part
}

// changeCase changes the case of some letters.
func (a *queryGenerator) changeCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case a.chance(50):
			return r
		case unicode.IsUpper(r) && unicode.ToUpper(unicode.ToLower(r)) == r:
			return unicode.ToLower(r)
		case unicode.IsLower(r) && unicode.ToLower(unicode.ToUpper(r)) == r:
			return unicode.ToUpper(r)
		}
		return r
	}, s)
}

func (a *queryGenerator) uri(v value) []string {
	if v.text == "" || a.chance(20) {
		v.text = pick(a.r, append(uriPool, profilePool...))
	}
	return strings.Split(v.text, "|")
}

// date is a date of any precision about that of the value.
func (a *queryGenerator) date(v value) string {
	at := v.from
	if at < -1<<50 || a.chance(30) {
		at = v.to
	}
	if at == 0 || at < -1<<50 || at > 1<<50 || a.chance(10) {
		return pick(a.r, datePool)
	}
	at += int64(pick(a.r, []int{0, 0, 0, 1, -1, 1000, -1000, 86400000, -86400000}))
	zone := pick(a.r, []*time.Location{time.UTC, a.d.zone.loc, time.FixedZone("", -5*3600)})
	return time.UnixMilli(at).In(zone).Format(pick(a.r, []string{
		"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05"}))
}

func (a *queryGenerator) hhmm(v value) string {
	n := v.number
	if a.chance(30) {
		n = pick(a.r, []int{0, 830, 829, 831, 900, 1700, 2359, 1200})
	}
	if a.chance(50) {
		return fmt.Sprintf("%04d", n)
	}
	return strconv.Itoa(n)
}

func (a *queryGenerator) reference(p parameter, l query.Criterion, v value) []string {
	if l.Modifier == "identifier" {
		if len(v.identifier) > 0 {
			return a.token("", p, query.Criterion{}, pick(a.r, v.identifier))
		}
		return a.token("", p, query.Criterion{}, value{})
	}
	t, id, _ := strings.Cut(v.target, "/")
	if !p.pointsTo(t) || a.chance(10) {
		t, id = pick(a.r, p.targets).String(), pick(a.r, idPool)
	}
	if l.Modifier != "" {
		return []string{pick(a.r, []string{id, l.Modifier + "/" + id})}
	}
	switch a.r.IntN(4) {
	case 0:
		return []string{id}
	case 1:
		return []string{a.d.base + "/" + t + "/" + id}
	}
	return []string{t + "/" + id}
}

// near is a circle about a position, or with the position near its edge.
func (a *queryGenerator) near(v value) []string {
	jitter := func(r *rand.Rand) float64 { return float64(r.IntN(200)-100) / 1000 }
	lat := max(-90, min(90, v.lat+jitter(a.r)))
	lon := v.lon + jitter(a.r)
	if lon > 180 {
		lon -= 360
	} else if lon < -180 {
		lon += 360
	}
	point := []string{strconv.FormatFloat(lat, 'f', -1, 64), strconv.FormatFloat(lon, 'f', -1, 64)}
	unit := pick(a.r, []string{"", "km", "m", "mi", "[mi_i]"})
	distance := pick(a.r, []string{"0.5", "1", "3", "8", "20", "100", "21000"})
	if unit == "m" {
		distance += "000"
	}
	switch a.r.IntN(4) {
	case 0:
		return point
	case 1:
		return append(point, distance)
	}
	return append(point, distance, unit)
}
