package searchtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"muster/internal/search/query"
)

// value returns one value of a criterion, as its parts, based on one of the values of
// the directory.
func (g *queryGenerator) value(code string, p parameter, l *query.Criterion, values []value) []string {
	var v value
	if len(values) > 0 {
		v = pick(g.r, values)
	}
	switch p.kind {
	case token:
		return g.token(code, p, *l, v)
	case str:
		return []string{g.string(l.Modifier, v)}
	case uri:
		return g.uri(v)
	case date:
		return []string{pick(g.r, []string{"", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"}) + g.date(v)}
	case hhmm:
		return []string{pick(g.r, []string{"", "eq", "ne", "gt", "lt", "ge", "le"}) + g.hhmm(v)}
	case reference:
		return g.reference(p, *l, v)
	}
	return g.near(v)
}

func (g *queryGenerator) token(code string, p parameter, l query.Criterion, v value) []string {
	if code == "_id" && g.chance(30) {
		v.code = pick(g.r, idPool)
	}
	if v.code == "" && v.system != "" && l.Modifier == "" {
		return []string{v.system, ""}
	}
	if p.contact && g.chance(3) {
		return pick(g.r, [][]string{{"", v.code}, {"phone", v.code}, {"02+1234"}, {"+61+2+1234"}})
	}
	if p.contact && strings.HasPrefix(v.code, "+") && g.chance(30) {
		return []string{" " + v.code[1:]}
	}
	if p.contact && v.code != "" {
		return []string{v.code}
	}
	if p.implied != nil && !g.chance(2) {
		return g.impliedToken(p, v)
	}
	if code != "_id" && (v.code == "" || g.chance(10)) {
		v = value{system: pick(g.r, systemPool), code: pick(g.r, codePool)}
	}
	if l.Modifier == "contains" {
		runes := []rune(v.code)
		from := g.r.IntN(len(runes))
		part := strings.TrimSpace(string(runes[from : from+1+g.r.IntN(len(runes)-from)]))
		if part != "" {
			return []string{part}
		}
		return []string{v.code}
	}
	if p.caseless && g.chance(50) {
		v.code = g.changeCase(v.code)
	}
	if p.spaceIsPlus && g.chance(30) {
		return []string{strings.ReplaceAll(v.code, "+", " ")}
	}
	if code == "_id" {
		if v.code == "" {
			v.code = pick(g.r, idPool)
		}
		return []string{v.code}
	}
	switch g.r.IntN(10) {
	case 0, 1, 2:
		return []string{g.equivalentSystem(v.system), v.code}
	case 3:
		if v.system != "" {
			return []string{g.equivalentSystem(v.system), ""}
		}
	case 4:
		return []string{"", v.code}
	}
	return []string{v.code}
}

// impliedToken returns a token of a code or boolean, with one of the systems that it implies,
// or rarely with another.
func (g *queryGenerator) impliedToken(p parameter, v value) []string {
	if v.code == "" {
		codes := slices.Concat(p.codes, p.only)
		if len(codes) == 0 {
			codes = []string{"text/plain"}
		}
		v.code = pick(g.r, codes)
	}
	if p.spaceIsPlus && g.chance(30) {
		v.code = strings.ReplaceAll(v.code, "+", " ")
	}
	switch g.r.IntN(12) {
	case 0, 1, 2, 3:
		return []string{pick(g.r, p.implied), v.code}
	case 4:
		return []string{pick(g.r, p.implied), ""}
	case 5:
		return []string{"", v.code}
	case 6:
		if g.chance(30) {
			return []string{pick(g.r, []string{"http://example.org/a", "http://hl7.org/fhir/location-status", "http://hl7.org/fhir/days-of-week"}), v.code}
		}
	}
	return []string{v.code}
}

// equivalentSystem returns a code system with the same meaning. It often returns s
// itself.
func (g *queryGenerator) equivalentSystem(s string) string {
	for range 3 {
		other := pick(g.r, append(systemPool, "http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs",
			"http://terminology.hl7.org.au/CodeSystem/service-provision-conditions", "http://hl7.org.au/fhir/CodeSystem/endpoint-payload-type",
			"http://digitalhealth.gov.au/fhir/hcpd/id/hc-local-identifier"))
		if canonicalSystem(other) == canonicalSystem(s) {
			return other
		}
	}
	return s
}

func (g *queryGenerator) string(modifier string, v value) string {
	if v.text == "" || fold(v.text) == "" && modifier != "exact" || g.chance(10) {
		v.text = pick(g.r, textPool)
	}
	for fold(v.text) == "" && modifier != "exact" && !g.chance(10) {
		v.text = pick(g.r, textPool)
	}
	v.text = strings.ReplaceAll(v.text, "\t", " ") // a query must not contain control characters
	if modifier == "exact" {
		if g.chance(20) {
			return g.changeCase(v.text)
		}
		return v.text
	}
	runes := []rune(v.text)
	from := 0
	if modifier == "contains" {
		from = g.r.IntN(len(runes))
	}
	if at := slices.IndexFunc(runes, func(r rune) bool { return r == ' ' || r == '-' }); v.family && at > 0 && at+1 < len(runes) && g.chance(50) {
		from = at + 1 // a part of a family name
	}
	part := string(runes[from : from+1+g.r.IntN(len(runes)-from)])
	if g.chance(30) {
		part = pick(g.r, respellings).Replace(part)
	}
	if g.chance(40) {
		part = g.changeCase(part)
	}
	if fold(part) == "" {
		return v.text
	}
	return part
}

// respellings replace characters by others that a search does not tell apart.
var respellings = []*strings.Replacer{
	strings.NewReplacer("'", "’", "’", ""), strings.NewReplacer("'", "", "’", "'"), strings.NewReplacer(".", "", " ", "  "), strings.NewReplacer(" ", "+"),
	strings.NewReplacer(" ", "-", "-", " "), strings.NewReplacer("-", "\u2011", "–", "/"), strings.NewReplacer("ß", "ss", "ss", "ß", "ﬁ", "fi"),
}

// changeCase changes the case of some letters.
func (g *queryGenerator) changeCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case g.chance(50):
			return r
		case unicode.IsUpper(r) && unicode.ToUpper(unicode.ToLower(r)) == r:
			return unicode.ToLower(r)
		case unicode.IsLower(r) && unicode.ToLower(unicode.ToUpper(r)) == r:
			return unicode.ToUpper(r)
		}
		return r
	}, s)
}

func (g *queryGenerator) uri(v value) []string {
	if v.text == "" || g.chance(20) {
		v.text = pick(g.r, append(uriPool, profilePool...))
	}
	return strings.Split(v.text, "|")
}

// date returns a date of any precision, close to that of the value.
func (g *queryGenerator) date(v value) string {
	at := v.from
	if at < -1<<50 || g.chance(30) {
		at = v.to
	}
	if at == 0 || at < -1<<50 || at > 1<<50 || g.chance(10) {
		return pick(g.r, datePool)
	}
	at += int64(pick(g.r, []int{0, 0, 0, 1, -1, 1000, -1000, 86400000, -86400000}))
	zone := pick(g.r, []*time.Location{time.UTC, g.d.zone.loc, time.FixedZone("", -5*3600)})
	return time.UnixMilli(at).In(zone).Format(pick(g.r, []string{
		"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05"}))
}

func (g *queryGenerator) hhmm(v value) string {
	n := v.number
	if g.chance(30) {
		n = pick(g.r, []int{0, 830, 829, 831, 900, 1700, 2359, 1200})
	}
	if g.chance(50) {
		return fmt.Sprintf("%04d", n)
	}
	return strconv.Itoa(n)
}

func (g *queryGenerator) reference(p parameter, l query.Criterion, v value) []string {
	if l.Modifier == "identifier" {
		if len(v.identifier) > 0 {
			return g.token("", p, query.Criterion{}, pick(g.r, v.identifier))
		}
		return g.token("", p, query.Criterion{}, value{})
	}
	t, id, _ := strings.Cut(v.target, "/")
	if !p.pointsTo(t) || g.chance(10) {
		t, id = pick(g.r, p.targets).String(), pick(g.r, idPool)
	}
	if l.Modifier != "" {
		return []string{pick(g.r, []string{id, l.Modifier + "/" + id})}
	}
	switch g.r.IntN(4) {
	case 0:
		return []string{id}
	case 1:
		return []string{g.d.base + "/" + t + "/" + id}
	}
	return []string{t + "/" + id}
}

// near returns a circle around or close to a position.
func (g *queryGenerator) near(v value) []string {
	jitter := func(r *rand.Rand) float64 { return float64(r.IntN(200)-100) / 1000 }
	lat := max(-90, min(90, v.lat+jitter(g.r)))
	lon := v.lon + jitter(g.r)
	if lon > 180 {
		lon -= 360
	} else if lon < -180 {
		lon += 360
	}
	point := []string{strconv.FormatFloat(lat, 'f', -1, 64), strconv.FormatFloat(lon, 'f', -1, 64)}
	unit := pick(g.r, []string{"", "km", "m", "mi", "[mi_i]"})
	distance := pick(g.r, []string{"0.5", "1", "3", "8", "20", "100", "21000"})
	if unit == "m" {
		distance += "000"
	}
	switch g.r.IntN(4) {
	case 0:
		return point
	case 1:
		return append(point, distance)
	}
	return append(point, distance, unit)
}
