package synth

import "strings"

// longName is the length of the name of one organisation in every directory.
const longName = 200

// orgName returns the name of an organisation.
func (p *Plan) orgName(org int) string {
	switch org {
	case orgBalmain:
		return "Balmain Heart Centre"
	case orgTelehealth:
		return "Southern Cross Telehealth"
	case orgAgedCare:
		return "Brisbane River Aged Care"
	case orgBig:
		return "Greater Sydney Hospital and Health Service"
	}
	s := p.stream(aspectName, organization, org)
	a := &archetypes[p.archOf(org)]
	suffix := a.suffix[s.n(len(a.suffix))]
	pl := &p.gaz.places[p.placeOf(org)]
	name := pl.name + " " + suffix
	switch {
	case a.named || s.chance(200_000):
		name = p.names.drawFamily(&s) + " " + suffix
	case s.chance(250_000):
		name = pl.name + " " + p.names.streets[s.n(len(p.names.streets))] + " " + suffix
	}
	if org == p.longNamed() {
		name += " incorporating" + strings.Repeat(" the Mobile Outreach and Visiting Clinics of the Region", 4)
		name = strings.TrimSpace(name[:longName-1])
		name += strings.Repeat("s", longName-len(name))
	}
	return name
}

// longNamed and masked return one organisation each, which exists at every scale.
func (p *Plan) longNamed() int { return p.count[organization] / 2 }
func (p *Plan) masked() int    { return p.count[organization] / 3 }

// archOf and placeOf also accept organisations created after day 0, which are allied health
// practices.
func (p *Plan) archOf(org int) int {
	if org < len(p.arch) {
		return int(p.arch[org])
	}
	return archAllied
}

func (p *Plan) placeOf(org int) int {
	if org < len(p.orgPlace) {
		return int(p.orgPlace[org])
	}
	s := p.stream(aspectPlace, organization, org)
	return p.gaz.draw(&s, s.pick(practitionerStates))
}

func (p *Plan) renderOrganization(e *enc, r *record) {
	org := r.index
	s := p.stream(aspectBody, organization, r.key)
	contact := p.stream(aspectContact, organization, r.key+r.content<<32)
	a := &archetypes[p.archOf(org)]
	pl := &p.gaz.places[p.placeOf(org)]
	name := p.orgName(org)
	optionalExtensions(e, r)
	e.arr("identifier")
	p.hiOrganization(e, r, &s, a)
	if r.fault.is(twoHPIO) {
		p.hpio(e, r.key+1, &s, "seed")
	}
	e.obj("")
	e.obj("type")
	e.str("text", "ABN")
	e.end()
	e.str("system", sysABN)
	e.raw("value", abn(p.perm.abn.at(r.key), p.opts.ValidCheckDigits))
	e.end()
	if s.chance(500_000) {
		e.obj("")
		e.obj("type")
		e.str("text", "ACN")
		e.end()
		e.str("system", sysACN)
		e.raw("value", acn(p.perm.acn.at(r.key), p.opts.ValidCheckDigits))
		e.end()
	}
	e.endArr()
	e.bool("active", r.flags&inactive == 0)
	e.arr("type")
	e.concept("", sct, a.services[0])
	e.endArr()
	if org == p.masked() || s.chance(500) {
		e.obj("_name")
		e.arr("extension")
		e.extension("http://hl7.org/fhir/StructureDefinition/data-absent-reason")
		e.str("valueCode", "masked")
		e.end()
		e.endArr()
		e.end()
	} else {
		e.str("name", name)
	}
	if s.chance(250_000) {
		e.arr("alias")
		e.str("", pl.name, " ", a.suffix[0])
		e.endArr()
	}
	site := host(name)
	e.arr("telecom")
	telecom(e, "phone", "work", code{}, phone(&contact, int(pl.state)))
	telecom(e, "fax", "work", code{}, phone(&contact, int(pl.state)))
	telecom(e, "email", "work", code{}, "reception@", site)
	telecom(e, "url", "work", code{}, "https://www.", site)
	e.endArr()
	e.arr("address")
	address(e, "", "physical", p.streetLine(&s), pl, nil)
	e.endArr()
	if parent := p.parentOf(org, r.moved); parent >= 0 {
		p.reference(e, "partOf", organization, parent)
	}
	if s.chance(300_000) {
		e.arr("contact")
		e.obj("")
		e.concept("purpose", hl7+"contactentity-type", code{"ADMIN", "Administrative"})
		e.arr("telecom")
		telecom(e, "email", "work", code{}, "admin@", site)
		e.endArr()
		e.end()
		e.endArr()
	}
}

// parentOf returns the parent of an organisation after the given number of moves, or -1. A
// parent has a lower index.
func (p *Plan) parentOf(org, moved int) int {
	if org >= len(p.parent) {
		return -1
	}
	parent := int(p.parent[org])
	if moved == 0 || parent < 0 {
		return parent
	}
	start := org
	for start > 0 && p.arch[start-1] == p.arch[org] {
		start--
	}
	s := p.stream(aspectLink, organization, org+moved<<32)
	return start + s.n(org-start)
}

// hiOrganization writes the HPI-O or HSP-O of an organisation.
func (p *Plan) hiOrganization(e *enc, r *record, s *stream, a *archetype) {
	if !a.hsp || r.fault.is(twoHPIO) {
		class := "seed"
		if r.index < len(p.parent) && p.parent[r.index] >= 0 {
			class = "network"
		}
		p.hpio(e, r.key, s, class)
		return
	}
	e.obj("")
	e.arr("extension")
	hiStatus(e, s)
	e.extension(hcpd + "StructureDefinition/hi-org-classification")
	e.concept("valueCodeableConcept", hcpd+"CodeSystem/hi-org-classification-cs", code{"seed", "Seed"})
	e.end()
	e.endArr()
	e.str("system", sysHSPO)
	e.raw("value", sixteen("800364100", p.perm.hspo.at(r.key%1_000_000)))
	e.end()
}

func (p *Plan) hpio(e *enc, key int, s *stream, class string) {
	e.obj("")
	e.arr("extension")
	hiStatus(e, s)
	e.extension(hcpd + "StructureDefinition/hi-org-classification")
	display := "Seed"
	if class == "network" {
		display = "Network"
	}
	e.concept("valueCodeableConcept", hcpd+"CodeSystem/hi-org-classification-cs", code{class, display})
	e.end()
	e.endArr()
	e.concept("type", au+"v2-0203", code{code: "NOI"})
	e.str("system", sysHPIO)
	e.raw("value", sixteen("80036299", 1_000_000+p.perm.hpio.at(key)))
	e.end()
}

// site is the place and the position of a location.
type site struct {
	place           *place
	virtual, mobile bool
	positioned      bool // has a position: lat and lon, in 1e-5 degrees
	lat, lon        int
}

// sydneyPoints is the number of distinct points of the locations in Sydney 2000.
const sydneyPoints = 300

// siteOf returns the site of a location of an organisation.
func (p *Plan) siteOf(index, org int) site {
	s := p.stream(aspectPlace, location, index)
	at := p.placeOf(org)
	if org >= anchorOrgs && index != int(p.firstLoc[org]) {
		at = p.gaz.draw(&s, p.orgState(org))
	}
	a := &archetypes[p.archOf(org)]
	w := site{place: &p.gaz.places[at]}
	w.virtual = p.archOf(org) == archTelehealth || org >= anchorOrgs && !a.exact && s.chance(22_000)
	w.mobile = !w.virtual && org >= anchorOrgs && s.chance(10_000)
	w.positioned = !w.virtual && (org == orgBalmain || !s.chance(30_000))
	w.lat, w.lon = w.place.lat, w.place.lon
	switch {
	case org == orgBalmain:
		w.lat, w.lon = -3386070, 15118030
	case at == p.gaz.sydney:
		point := newStream(p.seed, aspectPlace, kindCount, s.n(sydneyPoints))
		w.lat, w.lon = w.lat+around(&point), w.lon+around(&point)
	case !a.exact:
		w.lat, w.lon = w.lat+around(&s), w.lon+around(&s)
	}
	return w
}

// around draws an offset of up to about a kilometre. Small offsets are more frequent.
func around(s *stream) int { return s.n(1000) + s.n(1000) - 1000 }

func (p *Plan) renderLocation(e *enc, r *record) {
	org := p.locationOrg(r.index)
	a := &archetypes[p.archOf(org)]
	w := p.siteOf(r.index, org)
	s := p.stream(aspectBody, location, r.key)
	contact := p.stream(aspectContact, location, r.key+r.content<<32)
	postal, amenity := s.chance(80_000), s.chance(300_000)
	if postal || amenity || r.flags&(suppressed|inactive) != 0 {
		e.arr("extension")
		statusExtensions(e, r)
		if postal {
			e.extension(hcpd + "StructureDefinition/hcpd-alternate-postal-address")
			address(e, "valueAddress", "postal", "PO Box "+string(appendDigits(nil, 1000+s.n(9000), 4)), w.place, nil)
			e.end()
		}
		if amenity {
			p.amenities(e, &s)
		}
		e.endArr()
	}
	e.arr("identifier")
	p.localAndSource(e, r)
	if p.archOf(org) == archDiagnostics {
		number := appendDigits(nil, 900_000+r.key%100_000, 6)
		if s.chance(500_000) {
			e.identifier(au+"v2-0203", "LSPN", ehns+"location-specific-practice-number", number)
		} else {
			e.identifier(au+"v2-0203", "NATAS", "http://hl7.org.au/id/nata-site", number)
		}
	}
	e.endArr()
	status := "active"
	switch {
	case r.fault.is(suspendedLocation):
		status = "suspended"
	case r.flags&inactive != 0:
		status = "inactive"
	}
	e.str("status", status)
	name := p.orgName(org)
	if start, n := p.orgLocations(org); n > 1 && r.index != start {
		name = w.place.name + " – " + name
	}
	e.str("name", name)
	if s.chance(150_000) {
		e.arr("alias")
		e.str("", w.place.name, " ", a.suffix[len(a.suffix)-1])
		e.endArr()
	}
	e.str("description", describe(a, &w))
	e.arr("type")
	switch {
	case w.virtual:
		e.concept("", au+"location-type", code{"VI", "Virtual"})
	case w.mobile:
		e.concept("", hl7+"v3-RoleCode", code{"MOBL", "Mobile unit"})
		e.concept("", hl7+"v3-RoleCode", code{"COMM", "Community Location"})
	default:
		e.concept("", hl7+"v3-RoleCode", a.locationType)
	}
	e.endArr()
	state := int(w.place.state)
	e.arr("telecom")
	telecom(e, "phone", "work", code{}, phone(&contact, state))
	telecom(e, "fax", "work", code{}, phone(&contact, state))
	telecom(e, "email", "work", code{}, "info@", host(name))
	e.endArr()
	if !w.virtual {
		var gnaf []byte
		if s.chance(400_000) {
			st := (states[state] + "_")[:max(3, len(states[state]))]
			gnaf = appendDigits([]byte("GA"+st+"9"), r.key%100_000_000, 8)
		}
		address(e, "address", "physical", p.streetLine(&s), w.place, gnaf)
		physical := code{"bu", "Building"}
		if w.mobile {
			physical = code{"ve", "Vehicle"}
		}
		e.concept("physicalType", hl7+"location-physical-type", physical)
	}
	if w.positioned {
		e.obj("position")
		e.degrees("longitude", w.lon)
		e.degrees("latitude", w.lat)
		e.end()
	}
	p.reference(e, "managingOrganization", organization, org)
	p.uses(e, r)
}

func describe(a *archetype, w *site) string {
	switch {
	case w.virtual:
		return "Reached by video or telephone only; there is no place to visit."
	case w.mobile:
		return "A mobile unit that visits " + w.place.name + " and the towns around it."
	}
	return "Site of a " + a.name + " organisation in " + w.place.name + ", " + states[w.place.state] + "."
}

func (p *Plan) amenities(e *enc, s *stream) {
	both := s.n(3)
	if both != 1 {
		e.extension(cc + "StructureDefinition/amenity")
		e.concept("valueCodeableConcept", ncts+"facility-amenity-1", code{"wheelchairAccess", "Wheelchair Access"})
		e.end()
	}
	if both != 0 {
		e.extension(cc + "StructureDefinition/amenity")
		e.concept("valueCodeableConcept", ncts+"facility-amenity-1", code{"accessibleParking", "Accessible Parking"})
		e.end()
	}
}

func (p *Plan) orgLocations(org int) (start, n int) {
	if org >= p.count[organization] {
		return 0, 0
	}
	return span(p.firstLoc, org)
}

// uses writes the reference of a record to its endpoint, if it has one.
func (p *Plan) uses(e *enc, r *record) {
	if ep, ok := p.endpointOf(r.kind, r.index, r.key); ok {
		e.arr("endpoint")
		p.reference(e, "", endpoint, ep)
		e.endArr()
	}
}

// endpointOf returns the endpoint to which a location, a service or a role refers. key is that of
// the record.
func (p *Plan) endpointOf(k kind, index, key int) (int, bool) {
	s := p.stream(aspectUse, k, key)
	switch k {
	case location:
		if p.isCoverage(index) {
			return 0, false
		}
		return p.ownEndpoint(&s, p.locationOrg(index), 200_000)
	case role:
		return p.ownEndpoint(&s, p.roleOrg(index), 150_000)
	}
	org := p.serviceOrg(index)
	if org == orgBalmain {
		return endpointBalmain, true
	}
	if n := index - int(p.firstSvc[p.diagnostic[0]]); n >= 0 && n < p.sharedServices && org < p.diagnostic[1] {
		return p.sharedEndpoint, true
	}
	return p.ownEndpoint(&s, org, 800_000)
}

// ownEndpoint draws one of the organisation's endpoints with a probability of ppm in a
// million.
func (p *Plan) ownEndpoint(s *stream, org, ppm int) (int, bool) {
	if org < 0 || org >= p.count[organization] || !s.chance(ppm) {
		return 0, false
	}
	start, n := span(p.firstEnd, org)
	if n == 0 {
		return 0, false
	}
	return start + s.n(n), true
}

// renderCoverage writes a service coverage area. The first is Balmain, followed by the
// country, the states and suburbs.
func (p *Plan) renderCoverage(e *enc, r *record) {
	s := p.stream(aspectPlace, location, r.index)
	optionalExtensions(e, r)
	e.str("status", map[bool]string{false: "active", true: "inactive"}[r.flags&inactive != 0])
	pl := &p.gaz.places[p.gaz.balmain]
	level := r.index - p.locations
	if level > 9 {
		pl = &p.gaz.places[p.gaz.draw(&s, s.pick(practitionerStates))]
	}
	name := pl.name
	switch {
	case level == 1:
		name = "Australia"
	case level >= 2 && level <= 9:
		name = states[level-2]
	}
	e.str("name", name, " Service Coverage Area")
	e.str("description", "Coverage area of services for people in ", name, " and nearby.")
	e.obj("address")
	switch {
	case level == 1:
	case level >= 2 && level <= 9:
		e.str("state", name)
	default:
		e.str("city", pl.name)
		e.str("state", states[pl.state])
		e.str("postalCode", pl.postcode)
	}
	e.str("country", "AU")
	e.end()
	if org := p.locationOrg(r.index); org >= 0 {
		p.reference(e, "managingOrganization", organization, org)
	}
}

func (p *Plan) renderEndpoint(e *enc, r *record) {
	org := p.endpointOrg(r.index)
	s := p.stream(aspectBody, endpoint, r.key)
	contact := p.stream(aspectContact, endpoint, r.key+r.content<<32)
	kindOf := s.n(10) // 0 to 6 secure messaging, 7 and 8 FHIR, 9 HL7 v2
	smd := kindOf < 7 || r.index == p.sharedEndpoint
	name := p.orgName(org)
	certificate := smd && s.chance(800_000)
	if smd || r.flags&(suppressed|inactive) != 0 {
		e.arr("extension")
		if smd {
			for i, facility := range [2]string{"au-receivingfacility", "au-receivingapplication"} {
				e.extension("http://hl7.org.au/fhir/StructureDefinition/" + facility)
				e.arr("extension")
				e.extension("namespace-id")
				e.str("valueString", []string{host(name), "Messaging"}[i])
				e.end()
				e.endArr()
				e.end()
			}
		}
		if certificate {
			e.extension("http://hl7.org.au/fhir/StructureDefinition/encryption-certificate-pem-x509")
			e.raw("valueString", fakeCertificate(&s))
			e.end()
		}
		statusExtensions(e, r)
		e.endArr()
	}
	e.arr("identifier")
	p.localAndSource(e, r)
	if smd {
		e.obj("")
		e.str("system", "http://ns.electronichealth.net.au/smd/target")
		e.raw("value", appendDigits([]byte("SMD"), r.key, 12))
		e.end()
	}
	e.endArr()
	status := "active"
	if r.flags&inactive != 0 {
		status = map[bool]string{false: "off", true: "suspended"}[r.flags&suspended != 0]
	}
	e.str("status", status)
	path := "/secure-messaging"
	switch {
	case smd:
		e.coding("connectionType", au+"endpoint-connection-type", code{"secure-messaging", "Secure Messaging"})
	case kindOf < 9:
		e.coding("connectionType", hl7+"endpoint-connection-type", code{"hl7-fhir-rest", "HL7 FHIR"})
		path = "/fhir"
	default:
		e.coding("connectionType", hl7+"endpoint-connection-type", code{"hl7v2-mllp", "HL7 v2 MLLP"})
		path = "/mllp"
	}
	e.str("name", name, " Endpoint")
	if r.fault.is(danglingReference) {
		p.dangling(e, "managingOrganization", organization, r.key)
	} else {
		p.reference(e, "managingOrganization", organization, org)
	}
	e.arr("contact")
	telecom(e, "phone", "work", code{}, phone(&contact, int(p.gaz.places[p.placeOf(org)].state)))
	telecom(e, "email", "work", code{}, "messaging@", host(name))
	e.endArr()
	system := "http://hl7.org.au/fhir/pd/CodeSystem/endpoint-payload-type"
	if s.chance(100_000) {
		system = au + "endpoint-payload-type"
	}
	e.arr("payloadType")
	e.concept("", system, payloads[s.n(len(payloads))])
	e.endArr()
	e.arr("payloadMimeType")
	e.str("", "application/pdf")
	e.str("", "application/fhir+json")
	e.endArr()
	local := uuid(p.stream(aspectLocalID, kindCount, r.key))
	e.str("address", "https://", host(name), path, "/", string(local[:8]))
}

// fakeCertificate returns a base64 text of the size of a certificate. It does not contain
// one.
func fakeCertificate(s *stream) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, 0, 1088)
	b = append(b, "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"...)
	for len(b) < 1060 {
		bits := s.next()
		for range 10 {
			b = append(b, alphabet[bits&63])
			bits >>= 6
		}
	}
	return b
}
