package searchtest

import "muster/internal/fhir"

func (g *generator) organization(o object) {
	g.some(o, "identifier", 2, g.identifier)
	g.maybe(o, "name", g.plainText)
	g.some(o, "alias", 2, g.plainText)
	g.some(o, "type", 2, g.concept)
	g.some(o, "address", 2, g.address)
	g.oneReference(o, "partOf", fhir.Organization)
	g.references(o, "endpoint", fhir.Endpoint)
}

func (g *generator) location(o object) {
	g.some(o, "identifier", 2, g.identifier)
	g.maybe(o, "name", g.plainText)
	g.some(o, "alias", 2, g.plainText)
	g.some(o, "type", 2, g.concept)
	g.maybe(o, "physicalType", g.concept)
	g.maybe(o, "operationalStatus", g.coding)
	g.maybe(o, "address", g.address)
	g.maybe(o, "position", g.position)
	g.oneReference(o, "managingOrganization", fhir.Organization)
	g.oneReference(o, "partOf", fhir.Location)
	g.references(o, "endpoint", fhir.Endpoint)
	if g.chance(50) {
		addExtension(o, object{"url": cc + "amenity", "valueCodeableConcept": g.concept()})
	}
	if g.chance(50) {
		name := pick(g.r, []string{"hcpd-alternate-postal-address", "hc-alternate-postal-address"})
		addExtension(o, object{"url": hcpd + name, "valueAddress": g.address()})
	}
}

// position is near one of a few places, one of them at the date line, one at a pole.
func (g *generator) position() any {
	places := [][2]float64{{-33.86, 151.2}, {-33.9, 151.1}, {-17, 179.98}, {-17, -179.98}, {89.99, 10}, {89.99, -170}, {0, 0}}
	place := pick(g.r, places)
	jitter := func() float64 { return float64(g.r.IntN(200)-100) / 2000 }
	lat, lon := place[0]+jitter(), place[1]+jitter()
	if lat > 90 {
		lat = 90
	}
	if lon > 180 {
		lon -= 360
	}
	if lon < -180 {
		lon += 360
	}
	return object{"latitude": lat, "longitude": lon}
}

func (g *generator) endpoint(o object) {
	g.some(o, "identifier", 3, g.identifier)
	g.maybe(o, "name", g.plainText)
	o["connectionType"] = g.codingOf(append(systemPool, "http://terminology.hl7.org.au/CodeSystem/endpoint-connection-type", "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "http://terminology.hl7.org.au/CodeSystem/smd-interfaces", "http://hl7.org.au/fhir/CodeSystem/smd-interfaces"), codePool)
	o["payloadType"] = []any{g.conceptOf([]string{"http://hl7.org.au/fhir/pd/CodeSystem/endpoint-payload-type", "http://hl7.org.au/fhir/CodeSystem/endpoint-payload-type"}, uriPool)}
	o["address"] = pick(g.r, uriPool)
	g.some(o, "payloadMimeType", 2, func() any { return pick(g.r, []string{"application/fhir+json", "application/fhir+xml", "text/plain"}) })
	g.oneReference(o, "managingOrganization", fhir.Organization)
}

func (g *generator) service(o object) {
	g.some(o, "identifier", 2, g.identifier)
	g.maybe(o, "name", g.plainText)
	for _, name := range []string{"type", "category", "specialty", "characteristic", "program"} {
		g.some(o, name, 2, g.concept)
	}
	g.some(o, "communication", 2, func() any {
		return g.conceptOf([]string{"urn:ietf:bcp:47", ""}, []string{"it", "de", "pt", "IT"})
	})
	g.some(o, "serviceProvisionCode", 2, func() any {
		return g.conceptOf([]string{"http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs", "http://terminology.hl7.org.au/CodeSystem/service-provision-conditions",
			"http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/hc-service-provision-code-cs"}, []string{"BB", "BBO", "FAP", "NFE", "MIX"})
	})
	g.some(o, "availableTime", 3, g.availableTime)
	g.oneReference(o, "providedBy", fhir.Organization)
	g.references(o, "location", fhir.Location)
	g.references(o, "coverageArea", fhir.Location)
	g.references(o, "endpoint", fhir.Endpoint)
}

func (g *generator) practitioner(o object) {
	g.some(o, "identifier", 2, g.identifier)
	g.some(o, "name", 2, func() any {
		n := object{}
		g.maybe(n, "family", g.plainText)
		g.some(n, "given", 2, g.plainText)
		g.some(n, "prefix", 1, g.plainText)
		g.some(n, "suffix", 1, g.plainText)
		n["text"] = g.text()
		return n
	})
	g.some(o, "telecom", 3, g.contact)
	g.some(o, "communication", 2, g.concept)
	g.some(o, "qualification", 2, func() any {
		return object{"identifier": []any{g.identifier()}, "code": object{"text": g.text(), "coding": []any{g.coding()}}}
	})
	if g.chance(60) {
		addExtension(o, object{"url": "http://hl7.org/fhir/StructureDefinition/individual-recordedSexOrGender", "extension": []any{
			object{"url": "value", "valueCodeableConcept": g.conceptOf([]string{"http://hl7.org/fhir/administrative-gender"}, []string{"male", "female"})},
		}})
	}
}

func (g *generator) role(o object) {
	g.some(o, "identifier", 2, g.identifier)
	g.some(o, "code", 2, g.concept)
	g.some(o, "specialty", 2, g.concept)
	g.some(o, "telecom", 2, g.contact)
	g.some(o, "availableTime", 3, g.availableTime)
	g.maybe(o, "period", g.period)
	g.oneReference(o, "practitioner", fhir.Practitioner)
	g.oneReference(o, "organization", fhir.Organization)
	g.references(o, "location", fhir.Location)
	g.references(o, "healthcareService", fhir.HealthcareService)
	g.references(o, "endpoint", fhir.Endpoint)
	if g.chance(50) {
		addExtension(o, object{"url": cc + "practitioner-role-communication", "valueCodeableConcept": g.conceptOf([]string{"urn:ietf:bcp:47"}, []string{"it", "de", "IT"})})
	}
}

func (g *generator) provenance(o object) {
	target := []any{g.reference(stateful...)}
	if g.chance(25) {
		target = append(target, g.reference(stateful...))
	}
	o["target"] = target
	o["recorded"] = pick(g.r, instantPool)
	g.maybe(o, "occurredDateTime", func() any { return pick(g.r, datePool) })
	o["agent"] = []any{object{"who": g.reference(fhir.Organization, fhir.Practitioner, fhir.PractitionerRole), "type": g.concept(), "role": []any{g.concept()}}}
	g.some(o, "entity", 2, func() any { return object{"role": "source", "what": g.reference(fhir.Types()...)} })
	g.oneReference(o, "location", fhir.Location)
	g.some(o, "signature", 1, func() any {
		return object{"type": []any{g.coding()}, "when": pick(g.r, instantPool), "who": g.reference(fhir.Practitioner)}
	})
}
