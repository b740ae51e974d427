package synth

import (
	"strconv"
	"time"
)

// Systems and URLs of the guide.
const (
	hcpd  = "http://digitalhealth.gov.au/fhir/hcpd/"
	cc    = "http://digitalhealth.gov.au/fhir/cc/"
	ehns  = "http://ns.electronichealth.net.au/id/"
	au    = "http://terminology.hl7.org.au/CodeSystem/"
	hl7   = "http://terminology.hl7.org/CodeSystem/"
	ncts  = "https://healthterminologies.gov.au/fhir/CodeSystem/"
	sct   = "http://snomed.info/sct"
	bcp47 = "urn:ietf:bcp:47"

	sysLocal  = hcpd + "id/hcpd-local-identifier"
	sysHPII   = ehns + "hi/hpii/1.0"
	sysHPIO   = ehns + "hi/hpio/1.0"
	sysHSPO   = ehns + "hi/hspo/1.0"
	sysABN    = "http://hl7.org.au/id/abn"
	sysACN    = "http://hl7.org.au/id/acn"
	sysAhpra  = "http://hl7.org.au/id/ahpra-registration-number"
	sysMed    = ehns + "medicare-provider-number"
	urlStatus = hcpd + "StructureDefinition/hi-services-identifier-status"
)

var profiles = [kindCount]string{"hcpd-organization", "hcpd-location", "hcpd-endpoint", "hcpd-healthcareservice", "hcpd-practitioner", "hcpd-practitionerrole", "hcpd-provenance"}

// render appends a record as one line of NDJSON.
func (p *Plan) render(e *enc, r *record) {
	e.b = append(e.b, '{')
	e.str("resourceType", Types[r.kind])
	id := p.id(r.kind, r.key)
	e.raw("id", id[:])
	profile := profiles[r.kind]
	if r.kind == location && p.isCoverage(r.index) {
		profile = "hcpd-service-coverage-area"
	}
	e.obj("meta")
	e.str("versionId", strconv.Itoa(r.version))
	e.instant("lastUpdated", r.updated)
	e.arr("profile")
	e.str("", hcpd, "StructureDefinition/", profile)
	e.endArr()
	e.end()
	switch r.kind {
	case organization:
		p.renderOrganization(e, r)
	case location:
		if p.isCoverage(r.index) {
			p.renderCoverage(e, r)
		} else {
			p.renderLocation(e, r)
		}
	case endpoint:
		p.renderEndpoint(e, r)
	case service:
		p.renderService(e, r)
	case practitioner:
		p.renderPractitioner(e, r)
	case role:
		p.renderRole(e, r)
	case provenance:
		p.renderProvenance(e, r)
	}
	e.b = append(e.b, '}', '\n')
}

// id returns the UUID of a record. It has the form of version 4, but is drawn from the key.
func (p *Plan) id(k kind, key int) [36]byte { return uuid(p.stream(aspectID, k, key)) }

// uuid draws a UUID.
func uuid(s stream) (text [36]byte) {
	hi, lo := s.next(), s.next()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	at := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			text[at] = '-'
			at++
		}
		word := hi
		if i >= 16 {
			word = lo
		}
		text[at] = hexDigits[word>>(60-4*(i%16))&15]
		at++
	}
	return text
}

// instant writes a time in UTC with milliseconds.
func (e *enc) instant(name string, ms int64) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b = time.UnixMilli(ms).UTC().AppendFormat(e.b, "2006-01-02T15:04:05.000Z")
	e.b = append(e.b, '"')
}

// date writes the date of a time.
func (e *enc) date(name string, ms int64) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b = time.UnixMilli(ms).UTC().AppendFormat(e.b, "2006-01-02")
	e.b = append(e.b, '"')
}

// reference writes a Reference to a record of the plan.
func (p *Plan) reference(e *enc, name string, k kind, index int) {
	e.obj(name)
	e.key("reference")
	e.b = append(e.b, '"')
	e.b = append(e.b, Types[k]...)
	e.b = append(e.b, '/')
	id := p.id(k, index)
	e.b = append(e.b, id[:]...)
	e.b = append(e.b, '"')
	e.end()
}

// statusExtensions writes the extensions suppressed and deactivated. The caller opens the
// array, which must not be empty.
func statusExtensions(e *enc, r *record) {
	if r.flags&suppressed != 0 {
		e.extension(cc + "StructureDefinition/suppressed")
		e.arr("extension")
		e.extension("suppressedBy")
		responsible(e, r)
		e.end()
		if r.kind == organization && r.flags&variants != selfUnsaid {
			e.extension("includeSelf")
			e.bool("valueBoolean", r.flags&variants == selfHidden)
			e.end()
		}
		e.endArr()
		e.end()
	}
	if r.flags&inactive != 0 {
		e.extension(hcpd + "StructureDefinition/deactivated")
		e.arr("extension")
		e.extension("deactivatedBy")
		initiator := "organisation-initiated"
		if r.kind == practitioner || r.kind == service { // fixed by the profile of services
			initiator = "practitioner-initiated"
		}
		e.concept("valueCodeableConcept", cc+"CodeSystem/responsible-party-type", code{code: initiator})
		e.end()
		e.endArr()
		e.end()
	}
}

// responsible writes who requested a suppression. The fixed values of the profiles have no
// display.
func responsible(e *enc, r *record) {
	byOrg, byPrac := r.kind != practitioner, r.kind == practitioner
	if r.kind == role {
		byOrg, byPrac = r.flags&variants != byPractitioner, r.flags&variants != byOrganisation
	}
	e.obj("valueCodeableConcept")
	e.arr("coding")
	if byOrg {
		e.coding("", cc+"CodeSystem/responsible-party-type", code{code: "organisation-initiated"})
	}
	if byPrac {
		e.coding("", cc+"CodeSystem/responsible-party-type", code{code: "practitioner-initiated"})
	}
	e.endArr()
	e.end()
}

// optionalExtensions writes the extension array with the status extensions, for types
// without other extensions.
func optionalExtensions(e *enc, r *record) {
	if r.flags&(suppressed|inactive) != 0 {
		e.arr("extension")
		statusExtensions(e, r)
		e.endArr()
	}
}

// localAndSource writes the two identifiers that four of the types must have.
func (p *Plan) localAndSource(e *enc, r *record) {
	prefix := [kindCount]string{location: "LOC", endpoint: "EP", service: "HS", role: "PR"}[r.kind]
	value := appendDigits([]byte(prefix+"-"), r.key, 9)
	source := "pca"
	if mix(uint64(r.key))%4 == 0 {
		source = "nhsd"
	}
	e.identifier(hl7+"v2-0203", "RI", ehns+"source/"+source, value)
	local := uuid(p.stream(aspectLocalID, r.kind, r.key))
	e.identifier(hl7+"v2-0203", "XX", sysLocal, local[:])
}

// hiStatus writes the status of an identifier of the HI Service.
func hiStatus(e *enc, s *stream) {
	status := code{"A", "Active"}
	switch draw := s.n(100); {
	case draw < 4:
		status = code{"D", "Deactivated"}
	case draw < 6:
		status = code{"R", "Retired"}
	}
	e.extension(urlStatus)
	e.coding("valueCoding", hcpd+"CodeSystem/hi-services-identifier-status-cs", status)
	e.end()
}

// sixteen returns an identifier of the HI Service: a prefix, a number and a check digit.
func sixteen(prefix string, n int) []byte {
	b := appendDigits([]byte(prefix), n, 15-len(prefix))
	return append(b, luhnDigit(b))
}

// telecom writes one contact point. The purpose is optional.
func telecom(e *enc, system, use string, purpose code, value ...string) {
	e.obj("")
	if purpose.code != "" {
		e.arr("extension")
		e.extension("http://hl7.org.au/fhir/StructureDefinition/contact-purpose")
		e.concept("valueCodeableConcept", hl7+"contactentity-type", purpose)
		e.end()
		e.endArr()
	}
	e.str("system", system)
	e.str("value", value...)
	e.str("use", use)
	e.end()
}

// phone returns a telephone number of the ranges reserved for fiction.
func phone(s *stream, state int) string {
	exchange := " 5550 "
	if s.chance(300_000) {
		exchange = " 7010 "
	}
	b := append(make([]byte, 0, 16), '(')
	b = append(b, areaCodes[state]...)
	b = append(b, ')')
	b = append(b, exchange...)
	return string(appendDigits(b, s.n(10_000), 4))
}

// host returns a host name under the reserved example domains.
func host(name string) string {
	b := make([]byte, 0, len(name)+16)
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b = append(b, c)
		case c >= 'A' && c <= 'Z':
			b = append(b, c|0x20)
		}
		if len(b) == 40 {
			break
		}
	}
	return string(b) + ".example.com.au"
}

// streetLine returns a street address.
func (p *Plan) streetLine(s *stream) string {
	line := strconv.Itoa(1+s.n(280)) + " " + p.names.drawStreet(s)
	if s.chance(150_000) {
		line = "Suite " + strconv.Itoa(1+s.n(30)) + ", " + line
	}
	return line
}

// address writes an Address of a place.
func address(e *enc, name, kind, line string, pl *place, gnaf []byte) {
	e.obj(name)
	if gnaf != nil {
		e.arr("extension")
		e.extension("http://hl7.org.au/fhir/StructureDefinition/address-identifier")
		e.obj("valueIdentifier")
		e.concept("type", au+"v2-0203", code{code: "GNAF"})
		e.str("system", "http://hl7.org.au/id/gnafidentifier")
		e.raw("value", gnaf)
		e.end()
		e.end()
		e.endArr()
	}
	e.str("use", "work")
	e.str("type", kind)
	e.str("text", line, ", ", pl.name, " ", states[pl.state], " ", pl.postcode)
	e.arr("line")
	e.str("", line)
	e.endArr()
	e.str("city", pl.name)
	e.str("state", states[pl.state])
	e.str("postalCode", pl.postcode)
	e.str("country", "AU")
	e.end()
}

// drawLanguage draws a language other than English, or none.
func drawLanguage(s *stream, ppm int) (code, bool) {
	if !s.chance(ppm) {
		return code{}, false
	}
	return languages[s.pick(languageWeights)], true
}

// week lists the codes of the days.
var week = [7]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// hours writes availableTime with one of the usual patterns.
func hours(e *enc, s *stream, zone string, late bool) {
	from, to := 7+s.n(3), 16+s.n(4)
	if late {
		to = 20
	}
	switch draw := s.n(100); {
	case late || draw < 55:
		e.arr("availableTime")
		openDays(e, week[:5], from, to, zone)
	case draw < 75:
		e.arr("availableTime")
		openDays(e, week[:5], from, to, zone)
		openDays(e, week[5:6], 9, 13, zone)
	case draw < 85:
		e.arr("availableTime")
		for i := range 5 {
			openDays(e, week[i:i+1], 7+s.n(4), 15+s.n(5), zone)
		}
	case draw < 90:
		e.arr("availableTime")
		e.obj("")
		e.arr("daysOfWeek")
		for _, d := range week {
			e.str("", d)
		}
		e.endArr()
		e.bool("allDay", true)
		e.end()
	default:
		return
	}
	e.endArr()
}

func openDays(e *enc, days []string, from, to int, zone string) {
	e.obj("")
	e.arr("daysOfWeek")
	for _, d := range days {
		e.str("", d)
	}
	e.endArr()
	e.bool("allDay", false)
	clock(e, "availableStartTime", from, zone)
	clock(e, "availableEndTime", to, zone)
	e.end()
}

// clock writes a time with its zone.
func clock(e *enc, name string, hour int, zone string) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b = appendDigits(e.b, hour, 2)
	e.b = append(e.b, ":00:00\""...)
	e.obj("_" + name)
	e.arr("extension")
	e.extension("http://hl7.org/fhir/StructureDefinition/timezone")
	e.str("valueCode", zone)
	e.end()
	e.endArr()
	e.end()
}

// notAvailable writes a closure over New Year.
func notAvailable(e *enc, s *stream) {
	if !s.chance(100_000) {
		return
	}
	e.arr("notAvailable")
	e.obj("")
	e.str("description", "Closed over Christmas and New Year")
	e.obj("during")
	e.str("start", "2026-12-24")
	e.str("end", "2027-01-04")
	e.end()
	e.end()
	e.endArr()
}
