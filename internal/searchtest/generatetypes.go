package searchtest

import "muster/internal/fhir"

func (g *generator) organization(o object) {
	g.addList(o, "identifier", 2, g.identifier)
	g.addOptional(o, "name", g.plainText)
	g.addList(o, "alias", 2, g.plainText)
	g.addList(o, "type", 2, g.concept)
	g.addList(o, "address", 2, g.address)
	g.addReference(o, "partOf", fhir.Organization)
	g.addReferences(o, "endpoint", fhir.Endpoint)
}

func (g *generator) location(o object) {
	g.addList(o, "identifier", 2, g.identifier)
	g.addOptional(o, "name", g.plainText)
	g.addList(o, "alias", 2, g.plainText)
	g.addList(o, "type", 2, g.concept)
	g.addOptional(o, "physicalType", g.concept)
	g.addOptional(o, "operationalStatus", g.coding)
	g.addOptional(o, "address", g.address)
	g.addOptional(o, "position", g.position)
	g.addReference(o, "managingOrganization", fhir.Organization)
	g.addReference(o, "partOf", fhir.Location)
	g.addReferences(o, "endpoint", fhir.Endpoint)
	if g.chance(50) {
		addExtension(o, object{"url": cc + "amenity", "valueCodeableConcept": g.concept()})
	}
	if g.chance(50) {
		name := pick(g.r, []string{"hcpd-alternate-postal-address", "hc-alternate-postal-address"})
		addExtension(o, object{"url": hcpd + name, "valueAddress": g.address()})
	}
}

// position returns a position near one of a few places, including the date line and a
// pole.
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
	g.addList(o, "identifier", 3, g.identifier)
	g.addOptional(o, "name", g.plainText)
	o["connectionType"] = g.codingOf(append(systemPool, "http://terminology.hl7.org.au/CodeSystem/endpoint-connection-type", "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "http://terminology.hl7.org.au/CodeSystem/smd-interfaces", "http://hl7.org.au/fhir/CodeSystem/smd-interfaces"), codePool)
	o["payloadType"] = []any{g.conceptOf([]string{"http://hl7.org.au/fhir/pd/CodeSystem/endpoint-payload-type", "http://hl7.org.au/fhir/CodeSystem/endpoint-payload-type"}, uriPool)}
	o["address"] = pick(g.r, uriPool)
	g.addList(o, "payloadMimeType", 2, func() any { return pick(g.r, []string{"application/fhir+json", "application/fhir+xml", "text/plain"}) })
	g.addReference(o, "managingOrganization", fhir.Organization)
}

func (g *generator) service(o object) {
	g.addList(o, "identifier", 2, g.identifier)
	g.addOptional(o, "name", g.plainText)
	for _, name := range []string{"type", "category", "specialty", "characteristic", "program"} {
		g.addList(o, name, 2, g.concept)
	}
	g.addList(o, "communication", 2, func() any {
		return g.conceptOf([]string{"urn:ietf:bcp:47", ""}, []string{"it", "de", "pt", "IT"})
	})
	g.addList(o, "serviceProvisionCode", 2, func() any {
		return g.conceptOf([]string{"http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/service-provision-cs", "http://terminology.hl7.org.au/CodeSystem/service-provision-conditions",
			"http://digitalhealth.gov.au/fhir/hcpd/CodeSystem/hc-service-provision-code-cs"}, []string{"BB", "BBO", "FAP", "NFE", "MIX"})
	})
	g.addList(o, "availableTime", 3, g.availableTime)
	g.addReference(o, "providedBy", fhir.Organization)
	g.addReferences(o, "location", fhir.Location)
	g.addReferences(o, "coverageArea", fhir.Location)
	g.addReferences(o, "endpoint", fhir.Endpoint)
}

func (g *generator) practitioner(o object) {
	g.addList(o, "identifier", 2, g.identifier)
	g.addList(o, "name", 2, func() any {
		n := object{}
		g.addOptional(n, "family", g.plainText)
		g.addList(n, "given", 2, g.plainText)
		g.addList(n, "prefix", 1, g.plainText)
		g.addList(n, "suffix", 1, g.plainText)
		n["text"] = g.text()
		return n
	})
	g.addList(o, "telecom", 3, g.contact)
	g.addList(o, "communication", 2, g.concept)
	g.addList(o, "qualification", 2, func() any {
		return object{"identifier": []any{g.identifier()}, "code": object{"text": g.text(), "coding": []any{g.coding()}}}
	})
	if g.chance(60) {
		addExtension(o, object{"url": "http://hl7.org/fhir/StructureDefinition/individual-recordedSexOrGender", "extension": []any{
			object{"url": "value", "valueCodeableConcept": g.conceptOf([]string{"http://hl7.org/fhir/administrative-gender"}, []string{"male", "female"})},
		}})
	}
}

func (g *generator) role(o object) {
	g.addList(o, "identifier", 2, g.identifier)
	g.addList(o, "code", 2, g.concept)
	g.addList(o, "specialty", 2, g.concept)
	g.addList(o, "telecom", 2, g.contact)
	g.addList(o, "availableTime", 3, g.availableTime)
	g.addOptional(o, "period", g.period)
	g.addReference(o, "practitioner", fhir.Practitioner)
	g.addReference(o, "organization", fhir.Organization)
	g.addReferences(o, "location", fhir.Location)
	g.addReferences(o, "healthcareService", fhir.HealthcareService)
	g.addReferences(o, "endpoint", fhir.Endpoint)
	if g.chance(50) {
		addExtension(o, object{"url": cc + "practitioner-role-communication", "valueCodeableConcept": g.conceptOf([]string{"urn:ietf:bcp:47"}, []string{"it", "de", "IT"})})
	}
}

func (g *generator) provenance(o object) {
	target := []any{g.reference(statefulTypes...)}
	if g.chance(25) {
		target = append(target, g.reference(statefulTypes...))
	}
	o["target"] = target
	o["recorded"] = pick(g.r, instantPool)
	g.addOptional(o, "occurredDateTime", func() any { return pick(g.r, datePool) })
	o["agent"] = []any{object{"who": g.reference(fhir.Organization, fhir.Practitioner, fhir.PractitionerRole), "type": g.concept(), "role": []any{g.concept()}}}
	g.addList(o, "entity", 2, func() any { return object{"role": "source", "what": g.reference(fhir.Types()...)} })
	g.addReference(o, "location", fhir.Location)
	g.addList(o, "signature", 1, func() any {
		return object{"type": []any{g.coding()}, "when": pick(g.r, instantPool), "who": g.reference(fhir.Practitioner)}
	})
}
