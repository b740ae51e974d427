package searchtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// A predicate reports whether a value of a resource matches one value of a query.
type predicate func(v value) bool

// predicate returns the predicate for one value of a criterion, or an error if the value
// is invalid.
func (e *evaluation) predicate(p parameter, l query.Criterion, v query.Value) (predicate, error) {
	switch p.kind {
	case token:
		return tokenPredicate(p, l, v)
	case str:
		return stringPredicate(l.Modifier, strings.Join(v.Parts, "|"))
	case uri:
		return uriPredicate(l.Name, v), nil
	case date:
		return datePredicate(e.d.zone, strings.Join(v.Parts, "|"))
	case hhmm:
		return numberPredicate(strings.Join(v.Parts, "|"))
	case reference:
		return e.referencePredicate(p, l, v)
	case near:
		return e.nearPredicate(v.Parts)
	}
	return nil, fmt.Errorf("unknown parameter type %q", p.kind)
}

// fold removes from a text what string searches ignore (SR-04, SR-48): case, accents,
// apostrophes, full stops, format characters and redundant spaces. Hyphens, slashes and plus
// signs count as spaces.
func fold(s string) string {
	ignored := runes.Predicate(func(r rune) bool {
		return unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune("'.`´‘’‛′ʻʼ", r)
	})
	bare, _, err := transform.String(transform.Chain(norm.NFD, runes.Remove(ignored), norm.NFC), s)
	if err != nil {
		return ""
	}
	words := strings.FieldsFunc(bare, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || strings.ContainsRune("/+−⁃", r)
	})
	return strings.Map(caseless, longForms.Replace(strings.Join(words, " ")))
}

// longForms replaces letters whose case folding has several letters.
var longForms = strings.NewReplacer("ß", "ss", "ẞ", "ss", "ﬀ", "ff", "ﬁ", "fi", "ﬂ", "fl", "ﬃ", "ffi", "ﬄ", "ffl", "ﬅ", "st", "ﬆ", "st", "ŉ", "n")

// caseless returns the same letter for all that differ in case only: the least of them.
func caseless(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// maxWords is how many words of a family name after the first are searched from.
const maxWords = 20

// stringPredicate compares strings: from their start, exactly as stored, or anywhere. A
// family name is also compared from the start of each of its words (SR-48).
func stringPredicate(modifier, want string) (predicate, error) {
	if modifier == "exact" {
		return func(v value) bool { return v.text == want }, nil
	}
	want = fold(want)
	if want == "" {
		return nil, fmt.Errorf("there is nothing to search by")
	}
	if modifier == "contains" {
		return func(v value) bool { return strings.Contains(v.folded(), want) }, nil
	}
	return func(v value) bool {
		words := strings.Fields(v.folded())
		for n := range words {
			if n == 0 || v.family && n <= maxWords {
				if strings.HasPrefix(strings.Join(words[n:], " "), want) {
					return true
				}
			}
		}
		return false
	}, nil
}

func (v value) folded() string { return fold(v.text) }

// tokenPredicate parses code, system|code, system| and |code (SR-05, SR-47).
func tokenPredicate(p parameter, l query.Criterion, v query.Value) (predicate, error) {
	if l.Name == "_id" && (len(v.Parts) > 1 || !fhir.ValidID(v.Parts[0])) {
		return nil, fmt.Errorf("%q is not an id", v.Parts)
	}
	if len(v.Parts) > 2 {
		return nil, fmt.Errorf("%q is not a token", v.Parts)
	}
	system, code := "*", v.Parts[0]
	if len(v.Parts) == 2 {
		system, code = v.Parts[0], v.Parts[1]
	}
	if p.spaceIsPlus {
		code = strings.ReplaceAll(code, " ", "+")
	}
	if p.contact && len(code) > 1 && code[0] == ' ' && unicode.IsDigit(rune(code[1])) {
		code = "+" + code[1:] // a plus sign that a URL has decoded
	}
	if !p.knowsSystem(system) {
		return func(value) bool { return false }, nil // it is that of another type
	}
	if err := p.refusesCode(system, code); err != nil {
		return nil, err
	}
	if l.Modifier == "contains" && fold(code) == "" {
		return nil, fmt.Errorf("there is nothing to search by")
	}
	if slices.Contains(p.implied, system) {
		system = "" // the elements do not state it
		if code == "" {
			return func(has value) bool { return has.system == "" }, nil
		}
	}
	return func(has value) bool {
		if system != "*" && canonicalSystem(system) != canonicalSystem(has.system) {
			return false
		}
		switch {
		case code == "":
			return system != "*" && system != ""
		case l.Modifier == "contains":
			return strings.Contains(fold(has.code), fold(code))
		case p.caseless:
			return strings.EqualFold(has.code, code)
		case l.Name == "hsbilling":
			return canonicalBilling(has.code) == canonicalBilling(code)
		}
		return has.code == code
	}, nil
}

// knowsSystem reports whether a query may state a system, "*" for none (SR-47).
func (p parameter) knowsSystem(system string) bool {
	switch {
	case system == "*":
		return true
	case p.contact:
		return false
	case p.implied == nil:
		return true
	}
	return system == "" || slices.Contains(p.implied, system) || p.stated != "" && system == p.stated
}

// refusesCode returns an error for a code that no element can have.
func (p parameter) refusesCode(system, code string) error {
	switch {
	case p.contact && numberWithPlus(code):
		return fmt.Errorf("%q has a plus sign within a phone number", code)
	case len(p.codes) > 0 && !slices.Contains(p.codes, code) && strings.ContainsAny(code, "+ "):
		return fmt.Errorf("%q is not a code", code)
	case p.only == nil || code == "":
		return nil
	}
	only := p.only
	if p.stated != "" && system != "*" {
		only = trueFalse
		if system == p.stated {
			only = p.only[len(trueFalse):]
		}
	}
	if !slices.Contains(only, code) {
		return fmt.Errorf("%q is none of %v", code, only)
	}
	return nil
}

// numberWithPlus reports whether a text is a phone number with a plus sign between digits.
func numberWithPlus(s string) bool {
	if strings.Trim(s, "-0123456789+(). ") != "" {
		return false
	}
	for n := 1; n+1 < len(s); n++ {
		if s[n] == '+' && unicode.IsDigit(rune(s[n-1])) && unicode.IsDigit(rune(s[n+1])) {
			return true
		}
	}
	return false
}

// canonicalSystem returns one name for all names of a code system or identifier system
// (A-29, A-64, 8.3, section 5 on SNOMED CT).
func canonicalSystem(s string) string {
	if strings.HasPrefix(s, "http://snomed.info/sct/") {
		return "http://snomed.info/sct"
	}
	switch s {
	case "http://terminology.hl7.org.au/CodeSystem/service-provision-conditions",
		"http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/hc-service-provision-code-cs":
		return "http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs"
	case "http://digitalhealth.gov.au/fhir/hcpd/id/hc-local-identifier":
		return "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier"
	case "http://hl7.org.au/fhir/pd/CodeSystem/endpoint-payload-type":
		return "http://hl7.org.au/fhir/CodeSystem/endpoint-payload-type"
	case "http://terminology.hl7.org.au/CodeSystem/endpoint-connection-type":
		return "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
	case "http://terminology.hl7.org.au/CodeSystem/smd-interfaces":
		return "http://hl7.org.au/fhir/CodeSystem/smd-interfaces"
	}
	return s
}

// canonicalBilling replaces BBO, the code for bulk billing only in the older code system,
// by BB, the code in the newer one.
func canonicalBilling(code string) string {
	if code == "BBO" {
		return "BB"
	}
	return code
}

// uriPredicate compares URIs exactly. Profiles are compared without their version, and
// the profile names of both guides are equivalent (section 1).
func uriPredicate(name string, v query.Value) predicate {
	want := strings.Join(v.Parts, "|")
	if name != "_profile" {
		return func(has value) bool { return has.text == want }
	}
	return func(has value) bool { return canonicalProfile(has.text) == canonicalProfile(want) }
}

func canonicalProfile(url string) string {
	url, _, _ = strings.Cut(url, "|")
	if name, ok := strings.CutPrefix(url, hcpd+"hc-"); ok {
		return hcpd + "hcpd-" + name
	}
	return url
}

// datePredicate compares the period of the query value with that of the resource (FHIR
// search, 3.1.1.4.5).
func datePredicate(z zone, want string) (predicate, error) {
	prefix := "eq"
	if want != "" && want[0] >= 'a' && want[0] <= 'z' && len(want) > 2 {
		prefix, want = want[:2], want[2:]
	}
	from, to, ok := z.parse(want)
	if !ok {
		return nil, fmt.Errorf("%q is not a date", want)
	}
	inside := func(v value) bool { return from <= v.from && v.to <= to }
	switch prefix {
	case "eq":
		return inside, nil
	case "ne":
		return func(v value) bool { return !inside(v) }, nil
	case "gt":
		return func(v value) bool { return v.to > to }, nil
	case "lt":
		return func(v value) bool { return v.from < from }, nil
	case "ge":
		return func(v value) bool { return v.to > from }, nil
	case "le":
		return func(v value) bool { return v.from < to }, nil
	case "sa":
		return func(v value) bool { return v.from >= to }, nil
	case "eb":
		return func(v value) bool { return v.to <= from }, nil
	case "ap":
		length := to - from
		return func(v value) bool { return v.from < to+length && v.to > from-length }, nil
	}
	return nil, fmt.Errorf("%q is not a prefix", prefix)
}

// numberPredicate compares HHMM numbers (8.13).
func numberPredicate(want string) (predicate, error) {
	prefix, digits := "eq", want
	if len(want) > 2 && want[0] >= 'a' {
		prefix, digits = want[:2], want[2:]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is not a time of day", digits)
	}
	switch prefix {
	case "eq":
		return func(v value) bool { return v.number == n }, nil
	case "ne":
		return func(v value) bool { return v.number != n }, nil
	case "gt":
		return func(v value) bool { return v.number > n }, nil
	case "lt":
		return func(v value) bool { return v.number < n }, nil
	case "ge":
		return func(v value) bool { return v.number >= n }, nil
	case "le":
		return func(v value) bool { return v.number <= n }, nil
	}
	return nil, fmt.Errorf("%q is not a prefix of a number", prefix)
}

// referencePredicate compares the targets of references: an id, Type/id, or Type/id below
// the base URL. The target need not exist or be visible.
func (e *evaluation) referencePredicate(p parameter, l query.Criterion, v query.Value) (predicate, error) {
	if l.Modifier == "identifier" {
		asks, err := tokenPredicate(p, query.Criterion{Name: "identifier"}, v)
		if err != nil {
			return nil, err
		}
		return func(has value) bool { return slices.ContainsFunc(has.identifier, asks) }, nil
	}
	want := strings.TrimPrefix(strings.Join(v.Parts, "|"), e.d.base+"/")
	t, id, typed := strings.Cut(want, "/")
	if !typed {
		t, id = l.Modifier, want
	}
	switch {
	case !fhir.ValidID(id):
		return nil, fmt.Errorf("%q is not a reference", want)
	case t != "" && !p.pointsTo(t):
		return nil, fmt.Errorf("the parameter does not refer to %s", t)
	case t != "" && l.Modifier != "" && t != l.Modifier:
		return nil, fmt.Errorf("%q is not a reference to %s", want, l.Modifier)
	}
	return func(has value) bool {
		of, its, _ := strings.Cut(has.target, "/")
		return its == id && p.pointsTo(of) && (t == "" || t == of)
	}, nil
}

func (p parameter) pointsTo(t string) bool {
	for _, target := range p.targets {
		if target.String() == t {
			return true
		}
	}
	return false
}

// DefaultNear is the default distance of near=lat|lon, in metres (SR-53).
const DefaultNear = 5000

const earthRadius = 6371008.8 // metres, the mean radius

// nearPredicate parses lat|lon|distance|unit (8.17). A position within a thousandth of
// the distance from the edge makes the result ambiguous, since the shape of the earth is
// not specified.
func (e *evaluation) nearPredicate(parts []string) (predicate, error) {
	if len(parts) < 2 || len(parts) > 4 {
		return nil, fmt.Errorf("near takes lat|lon|distance|unit, not %q", parts)
	}
	var numbers [3]float64
	for i := range min(len(parts), 3) {
		if i == 2 && parts[i] == "" {
			continue
		}
		n, err := strconv.ParseFloat(parts[i], 64)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	unit := "km"
	if len(parts) == 4 && parts[3] != "" {
		unit = parts[3]
	}
	scale, ok := map[string]float64{"km": 1000, "m": 1, "mi": 1609.344, "[mi_i]": 1609.344}[unit]
	if !ok {
		return nil, fmt.Errorf("%q is not a unit of near", unit)
	}
	limit := numbers[2] * scale
	if len(parts) < 3 || parts[2] == "" {
		limit = DefaultNear
	}
	if limit <= 0 || math.Abs(numbers[0]) > 90 || math.Abs(numbers[1]) > 180 {
		return nil, fmt.Errorf("near=%q is not a circle on the earth", parts)
	}
	return func(v value) bool {
		away := greatCircle(v.lat, v.lon, numbers[0], numbers[1])
		if math.Abs(away-limit) < limit/1000+0.01 {
			e.ambiguous = true
		}
		return away <= limit
	}, nil
}

// greatCircle returns the distance of two points in metres (haversine).
func greatCircle(lat1, lon1, lat2, lon2 float64) float64 {
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	half := func(angle float64) float64 { return math.Pow(math.Sin(angle/2), 2) }
	h := half(rad(lat2-lat1)) + math.Cos(rad(lat1))*math.Cos(rad(lat2))*half(rad(lon2-lon1))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}
