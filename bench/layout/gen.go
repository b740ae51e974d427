package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// The seven resource types in the order of their row keys.
const (
	organization = iota
	location
	service
	practitioner
	role
	provenance
	endpoint
	types
)

// share is the part of all rows that each type has, in percent.
var share = [types]int{3, 5, 8, 20, 38, 24, 2}

// The kinds of index entries; each has its own table in layouts a, as and ad.
const (
	kindToken = iota
	kindString
	kindRef
	kindRange // dates and numbers, as a closed interval
	kindGeo
	kinds
)

// Parameters within a type; paramOf makes them unique over all types, so that a parameter implies its type.
const (
	pIdentifier = iota
	pIdentifierR5
	pActive
	pProfile
	pCode // the type, service type or role
	pLanguage
	pDays
	pAllDay
	pBilling
	pSex
	pTelecom
	pName
	pFamily
	pGiven
	pRegprof
	pAddress
	pCity
	pState
	pPostcode
	pCountry
	pOrganization
	pLocation
	pService
	pPractitioner
	pEndpoint
	pPartOf
	pTarget
	pAgent
	pStart
	pEnd
	pDate
	pUpdated
	pNear
	paramsPerType = 64
)

func paramOf(typ, p int) int { return typ*paramsPerType + p }

// typeBits is the position of the type in a row key: 28 keeps a key inside four bytes, 40 needs six.
var typeBits = 28

func rowKey(typ, seq int) int64 { return int64(typ)<<typeBits | int64(seq) }

// systems are the token systems; an entry names its system by position.
var systems = []string{
	"", "http://ns.electronichealth.net.au/id/hi/hpii/1.0", "http://ns.electronichealth.net.au/id/hi/hpio/1.0",
	"http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier", "http://hl7.org.au/id/ahpra-registration-number",
	"http://ns.electronichealth.net.au/id/medicare-provider-number", "http://snomed.info/sct", "urn:ietf:bcp:47",
	"http://hl7.org/fhir/days-of-week", "http://hl7.org/fhir/administrative-gender",
	"http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs", "http://digitalhealth.gov.au/fhir/hcpd/id/source",
}

// entry is one index entry of one row. Tokens use sys and text, strings text (normalised) and exact, references num
// (the row key of the target), ranges num and hi, positions num (a cell) and hi (unused).
type entry struct {
	kind, param, sys int
	text, exact      string
	num, hi          int64
}

// row is a generated resource with all its index entries.
type row struct {
	key     int64
	typ     int
	id      string
	body    []byte
	entries []entry
}

// generator makes rows; equal totals and equal positions give equal rows.
type generator struct {
	total  int
	count  [types]int
	filler string
}

func newGenerator(total int) *generator {
	g := &generator{total: total}
	for t := range types {
		g.count[t] = max(1, total*share[t]/100)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < 64<<10 {
		fmt.Fprintf(&b, `{"system":"http://example.org/%s","value":"%d"},`, word(r.IntN(9000)), r.IntN(1e6))
	}
	g.filler = b.String()
	return g
}

// word spells a number as a short pronounceable word; near numbers give words that are far apart.
func word(n int) string {
	const consonants, vowels = "bdfghklmnprstvwz", "aeiou"
	n = n*7919%1_000_003 + 1
	var b []byte
	for range 3 {
		b = append(b, consonants[n%16], vowels[n/16%5])
		n = n/80 + n%7
	}
	return string(b)
}

// skew draws from 0…n-1, small numbers far more often than large ones.
func skew(r *rand.Rand, n int) int { return int(float64(n) * math.Pow(r.Float64(), 3)) }

const (
	cities       = 4800
	serviceTypes = 35
	roleCodes    = 130
	families     = 9800
	givens       = 3000
	languages    = 30
)

func cityName(c int) string { return word(c) + " " + word(c+5000) }

// stateName spreads cities over eight states, the first with about a third of all.
func stateName(c int) string {
	return []string{"nsw", "nsw", "nsw", "vic", "vic", "vic", "qld", "qld", "wa", "sa"}[c%10][:2] + []string{"", "x", "y"}[min(c%97/90, 2)]
}

func cityPosition(c int) (lat, lon float64) {
	r := rand.New(rand.NewPCG(uint64(c), 77))
	return -38 + 12*r.Float64(), 115 + 38*r.Float64()
}

func sct(n int) string         { return fmt.Sprint(224500000 + n*7919) }
func languageTag(n int) string { return string([]byte{'a' + byte(n/6), 'a' + byte(n%26)}) }

// cityOf is the place of a location, serviceLocation the place of a service: fixed by position, so that chains can be followed
// while generating.
func (g *generator) cityOf(seq int) int {
	return skew(rand.New(rand.NewPCG(uint64(seq), 5)), cities)
}
func (g *generator) serviceLocation(seq int) int      { return seq * 5 / 8 % g.count[location] }
func (g *generator) locationOrganization(seq int) int { return seq * 3 / 5 % g.count[organization] }

// make generates one row; revision 0 is the first version, higher ones change a telephone number, a name and the time.
func (g *generator) make(typ, seq, revision int) row {
	r := rand.New(rand.NewPCG(uint64(typ), uint64(seq)))
	key := rowKey(typ, seq)
	w := row{key: key, typ: typ, id: fmt.Sprintf("%s-%08x", word(typ), seq), entries: make([]entry, 0, 26)}
	token := func(p, sys int, code string) {
		w.entries = append(w.entries, entry{kind: kindToken, param: paramOf(typ, p), sys: sys, text: code})
	}
	str := func(p int, s string) {
		w.entries = append(w.entries, entry{kind: kindString, param: paramOf(typ, p), text: s, exact: strings.ToUpper(s[:1]) + s[1:]})
	}
	ref := func(p, target, n int) {
		w.entries = append(w.entries, entry{kind: kindRef, param: paramOf(typ, p), num: rowKey(target, n)})
	}
	span := func(p int, lo, hi int64) {
		w.entries = append(w.entries, entry{kind: kindRange, param: paramOf(typ, p), num: lo, hi: hi})
	}
	address := func(c int) {
		str(pAddress, fmt.Sprintf("%d %s street", r.IntN(300), word(r.IntN(300))))
		str(pCity, cityName(c))
		str(pState, stateName(c))
		str(pPostcode, fmt.Sprint(2000+c))
		str(pCountry, "au")
	}
	telecom := func() {
		token(pTelecom, 0, fmt.Sprintf("025550%04d", (r.IntN(80000)+revision*7)%80000))
		token(pTelecom, 0, fmt.Sprintf("mail%d@%s.example.com.au", r.IntN(1000), word(r.IntN(5000))))
	}
	hours := func() {
		for _, d := range []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
			if r.IntN(10) < 7 {
				token(pDays, 8, d)
			}
		}
		token(pAllDay, 0, "false")
		span(pStart, int64(700+100*r.IntN(4)), int64(700+100*r.IntN(4)))
		span(pEnd, int64(1600+100*r.IntN(4)), int64(1600+100*r.IntN(4)))
	}
	token(pProfile, 0, "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-"+word(typ))
	updated := 1_760_000_000_000 + int64(seq)*37 + int64(revision)*1_000_000
	span(pUpdated, updated, updated)
	if typ != provenance {
		token(pIdentifier, 3, fmt.Sprintf("%s%010d", word(typ), seq))
		token(pIdentifier, 11, fmt.Sprintf("src%d-%09d", skew(r, 40), seq))
		token(pActive, 0, []string{"true", "false"}[r.IntN(20)/19])
	}
	switch typ {
	case organization:
		token(pIdentifier, 2, fmt.Sprintf("80036%011d", seq))
		token(pCode, 6, sct(skew(r, serviceTypes)))
		str(pName, fmt.Sprintf("%s %s clinic", word(skew(r, families)), cityName(g.cityOf(seq))))
		str(pName, word(r.IntN(families))+" group")
		address(g.cityOf(seq))
		ref(pEndpoint, endpoint, r.IntN(g.count[endpoint]))
		ref(pPartOf, organization, skew(r, g.count[organization]))
	case location:
		c := g.cityOf(seq)
		str(pName, word(r.IntN(families))+" "+cityName(c))
		address(c)
		token(pCode, 6, sct(skew(r, serviceTypes)))
		ref(pOrganization, organization, g.locationOrganization(seq))
		lat, lon := cityPosition(c)
		w.entries = append(w.entries, entry{kind: kindGeo, param: paramOf(typ, pNear), num: cellOf(lat+r.NormFloat64()*0.03, lon+r.NormFloat64()*0.03)})
		telecom()
	case service:
		token(pCode, 6, sct(skew(r, serviceTypes)))
		token(pLanguage, 7, languageTag(skew(r, languages)))
		token(pBilling, 10, []string{"NFE", "FAP", "MIX", "BB"}[r.IntN(4)])
		str(pName, word(r.IntN(families))+" service")
		l := g.serviceLocation(seq)
		ref(pLocation, location, l)
		ref(pOrganization, organization, g.locationOrganization(l))
		hours()
		telecom()
	case practitioner:
		family, given := word(skew(r, families)), word(skew(r, givens)+10000)
		if revision > 0 {
			family = word(skew(r, families) + revision)
		}
		for _, p := range []int{pIdentifier, pIdentifierR5} {
			token(p, 1, fmt.Sprintf("80036%011d", seq))
		}
		token(pIdentifierR5, 4, fmt.Sprintf("MED%010d", seq))
		token(pIdentifierR5, 3, fmt.Sprintf("%s%010d", word(typ), seq))
		token(pSex, 9, []string{"male", "female"}[r.IntN(2)])
		token(pLanguage, 7, languageTag(skew(r, languages)))
		str(pName, family)
		str(pName, given)
		str(pName, "dr "+given+" "+family)
		str(pFamily, family)
		str(pGiven, given)
		str(pRegprof, []string{"nurse", "medical practitioner", "psychologist", "pharmacist"}[skew(r, 4)])
		telecom()
	case role:
		s := skew(r, g.count[service])
		l := g.serviceLocation(s)
		token(pIdentifier, 5, fmt.Sprintf("%08dA", seq))
		token(pCode, 6, sct(1000+skew(r, roleCodes)))
		token(pLanguage, 7, languageTag(skew(r, languages)))
		ref(pPractitioner, practitioner, r.IntN(g.count[practitioner]))
		ref(pService, service, s)
		ref(pLocation, location, l)
		ref(pOrganization, organization, g.locationOrganization(l))
		if r.IntN(3) == 0 {
			ref(pEndpoint, endpoint, r.IntN(g.count[endpoint]))
		}
		hours()
		telecom()
	case provenance:
		target := []int{organization, location, service, practitioner, role}[min(r.IntN(8), 4)]
		ref(pTarget, target, r.IntN(g.count[target]))
		ref(pAgent, organization, skew(r, g.count[organization]))
		token(pCode, 0, []string{"CREATE", "UPDATE", "DELETE"}[skew(r, 3)])
		token(pActive, 0, "author")
		span(pDate, updated-5000, updated-4001)
		token(pBilling, 0, "verifier")
		token(pIdentifier, 11, fmt.Sprintf("prov-%09d", seq))
	case endpoint:
		token(pCode, 0, "secure-message")
		token(pBilling, 0, word(r.IntN(30)))
		str(pName, word(r.IntN(families))+" endpoint")
		ref(pOrganization, organization, r.IntN(g.count[organization]))
	}
	w.body = g.document(r, w.id, revision)
	return w
}

// document is about 1.5 KB of JSON-like text; its content plays no part in the measurements.
func (g *generator) document(r *rand.Rand, id string, revision int) []byte {
	n := 1100 + r.IntN(800)
	from := r.IntN(len(g.filler) - n)
	b := make([]byte, 0, n+80)
	b = fmt.Appendf(b, `{"id":"%s","meta":{"versionId":"%d"},"identifier":[`, id, revision+1)
	return append(append(b, g.filler[from:from+n]...), "]}"...)
}

// batches sends all rows in row key order, size rows at a time; it makes them in its own goroutine, as a parser would.
func (g *generator) batches(size int) <-chan []row {
	out := make(chan []row, 4)
	go func() {
		defer close(out)
		batch := make([]row, 0, size)
		for t := range types {
			for seq := range g.count[t] {
				if batch = append(batch, g.make(t, seq, 0)); len(batch) == size {
					out <- batch
					batch = make([]row, 0, size)
				}
			}
		}
		if len(batch) > 0 {
			out <- batch
		}
	}()
	return out
}
