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

// predicate is whether a value of a resource is what one value of a query asks for.
type predicate func(v value) bool

// predicate makes the test of one value of a query, or says what is wrong with it.
func (e *evaluation) predicate(p parameter, l query.Criterion, v query.Value) (predicate, error) {
	switch p.kind {
	case token:
		if l.Name == "_id" && (len(v.Parts) > 1 || !fhir.ValidID(v.Parts[0])) {
			return nil, fmt.Errorf("%q is no id", v.Parts)
		}
		if len(v.Parts) > 2 {
			return nil, fmt.Errorf("%q is no token", v.Parts)
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
	return nil, fmt.Errorf("no parameter is of kind %q", p.kind)
}

// fold is a text without case, accents and superfluous space (SR-04).
func fold(s string) string {
	bare, _, err := transform.String(transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC), s)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(strings.ToLower(bare)), " ")
}

func stringPredicate(modifier, asked string) predicate {
	switch modifier {
	case "exact":
		return func(v value) bool { return v.text == asked }
	case "contains":
		asked = fold(asked)
		return func(v value) bool { return strings.Contains(v.folded(), asked) }
	}
	asked = fold(asked)
	return func(v value) bool { return strings.HasPrefix(v.folded(), asked) }
}

func (v value) folded() string { return fold(v.text) }

// tokenPredicate reads code, system|code, system| and |code (SR-05).
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

// canonicalSystem brings the names that mean one code system or one set of numbers to
// one of them (A-29, A-64, 8.3, section 5 on SNOMED CT).
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

// canonicalBilling: bulk billing only is BBO in the older code system, BB in the newer.
func canonicalBilling(code string) string {
	if code == "BBO" {
		return "BB"
	}
	return code
}

// uriPredicate compares to the letter; profiles without their version, and the names of
// concat guides as one (section 1).
func uriPredicate(name string, v query.Value) predicate {
	asked := strings.Join(v.Parts, "|")
	if name != "_profile" {
		return func(has value) bool { return has.text == asked }
	}
	return func(has value) bool { return canonicalProfile(has.text) == canonicalProfile(asked) }
}

func canonicalProfile(url string) string {
	url, _, _ = strings.Cut(url, "|")
	if name, ok := strings.CutPrefix(url, hcpd+"hc-"); ok {
		return hcpd + "hcpd-" + name
	}
	return url
}

// datePredicate compares the time that the value names with that of the resource
// (FHIR search, 3.1.1.4.5).
func datePredicate(z zone, asked string) (predicate, error) {
	prefix := "eq"
	if asked != "" && asked[0] >= 'a' && asked[0] <= 'z' && len(asked) > 2 {
		prefix, asked = asked[:2], asked[2:]
	}
	from, to, ok := z.parse(asked)
	if !ok {
		return nil, fmt.Errorf("%q is no date", asked)
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
		return func(v value) bool { return v.to > to || inside(v) }, nil
	case "le":
		return func(v value) bool { return v.from < from || inside(v) }, nil
	case "sa":
		return func(v value) bool { return v.from >= to }, nil
	case "eb":
		return func(v value) bool { return v.to <= from }, nil
	case "ap":
		length := to - from
		return func(v value) bool { return v.from < to+length && v.to > from-length }, nil
	}
	return nil, fmt.Errorf("%q is no prefix", prefix)
}

// numberPredicate compares HHMM numbers (8.13).
func numberPredicate(asked string) (predicate, error) {
	prefix, digits := "eq", asked
	if len(asked) > 2 && asked[0] >= 'a' {
		prefix, digits = asked[:2], asked[2:]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is no time of day", digits)
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
	return nil, fmt.Errorf("%q is no prefix of a number", prefix)
}

// referencePredicate compares where references lead: an id, Type/id, or the same below the
// base. What stands in the resource is enough: the target need not be in the directory,
// nor be visible.
func (e *evaluation) referencePredicate(p parameter, l query.Criterion, v query.Value) (predicate, error) {
	if l.Modifier == "identifier" {
		asks := tokenPredicate(p, query.Criterion{Name: "identifier"}, v)
		return func(has value) bool { return slices.ContainsFunc(has.identifier, asks) }, nil
	}
	asked := strings.TrimPrefix(strings.Join(v.Parts, "|"), e.d.base+"/")
	t, id, typed := strings.Cut(asked, "/")
	if !typed {
		t, id = l.Modifier, asked
	}
	switch {
	case !fhir.ValidID(id):
		return nil, fmt.Errorf("%q is no reference", asked)
	case t != "" && !p.pointsTo(t):
		return nil, fmt.Errorf("the reference never leads to %s", t)
	case t != "" && l.Modifier != "" && t != l.Modifier:
		return nil, fmt.Errorf("%q is no %s", asked, l.Modifier)
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

// DefaultNear is the distance of near=lat|lon, in metres (SR-53).
const DefaultNear = 5000

const earthRadius = 6371008.8 // metres, the mean radius

// nearPredicate reads lat|lon|distance|unit (8.17). The test of a point within a
// thousandth of the distance is marked as unsure: nobody says how round the earth is.
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
		return nil, fmt.Errorf("%q is no unit of near", unit)
	}
	limit := numbers[2] * scale
	if len(parts) < 3 || parts[2] == "" {
		limit = DefaultNear
	}
	if limit <= 0 || math.Abs(numbers[0]) > 90 || math.Abs(numbers[1]) > 180 {
		return nil, fmt.Errorf("near=%q is no circle on the earth", parts)
	}
	return func(v value) bool {
		away := greatCircle(v.lat, v.lon, numbers[0], numbers[1])
		if math.Abs(away-limit) < limit/1000+0.01 {
			e.ambiguous = true
		}
		return away <= limit
	}, nil
}

// greatCircle is the distance of two points in metres (haversine).
func greatCircle(lat1, lon1, lat2, lon2 float64) float64 {
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	half := func(angle float64) float64 { return math.Pow(math.Sin(angle/2), 2) }
	h := half(rad(lat2-lat1)) + math.Cos(rad(lat1))*math.Cos(rad(lat2))*half(rad(lon2-lon1))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}
