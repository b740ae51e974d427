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
		if l.Name == "_id" && (len(v.Parts) > 1 || !fhir.ValidID(v.Parts[0])) {
			return nil, fmt.Errorf("%q is not an id", v.Parts)
		}
		if len(v.Parts) > 2 {
			return nil, fmt.Errorf("%q is not a token", v.Parts)
		}
		return tokenPredicate(p, l, v), nil
	case str:
		return stringPredicate(l.Modifier, strings.Join(v.Parts, "|")), nil
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

// fold removes case, accents and redundant spaces from a text (SR-04).
func fold(s string) string {
	bare, _, err := transform.String(transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC), s)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(strings.ToLower(bare)), " ")
}

func stringPredicate(modifier, want string) predicate {
	switch modifier {
	case "exact":
		return func(v value) bool { return v.text == want }
	case "contains":
		want = fold(want)
		return func(v value) bool { return strings.Contains(v.folded(), want) }
	}
	want = fold(want)
	return func(v value) bool { return strings.HasPrefix(v.folded(), want) }
}

func (v value) folded() string { return fold(v.text) }

// tokenPredicate parses code, system|code, system| and |code (SR-05).
func tokenPredicate(p parameter, l query.Criterion, v query.Value) predicate {
	system, code := "*", v.Parts[0]
	if len(v.Parts) > 1 {
		system, code = v.Parts[0], strings.Join(v.Parts[1:], "|")
	}
	if p.spaceIsPlus {
		code = strings.ReplaceAll(code, " ", "+")
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
	}
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
		asks := tokenPredicate(p, query.Criterion{Name: "identifier"}, v)
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
