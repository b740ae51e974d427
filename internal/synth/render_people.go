package synth

// The first two services are those of the Balmain rooms.
const (
	svcAnchorCardiology = 0
	svcAnchorPortuguese = 1 // speaks Portuguese, open until eight
)

// serviceType returns the type of a service of an organisation.
func (p *Plan) serviceType(index, org int) code {
	if org == orgBalmain {
		return svcCardiology
	}
	s := p.stream(aspectName, service, index)
	a := &archetypes[p.archOf(org)]
	// Small organisations offer one type of service, that of their first one.
	if _, n := p.orgServices(org); n < 4 {
		s = p.stream(aspectName, service, -org-1)
	}
	return a.services[s.n(len(a.services))]
}

func (p *Plan) orgServices(org int) (start, n int) {
	if org >= p.count[organization] {
		return 0, 0
	}
	return span(p.firstSvc, org)
}

func (p *Plan) renderService(e *enc, r *record) {
	org := p.serviceOrg(r.index)
	loc := p.serviceLocation(r.index, org)
	w := p.siteOf(loc, org)
	kindOf := p.serviceType(r.index, org)
	s := p.stream(aspectBody, service, r.key)
	contact := p.stream(aspectContact, service, r.key+r.content<<32)
	e.arr("extension")
	p.serviceExtensions(e, r, &s, kindOf)
	e.endArr()
	e.arr("identifier")
	p.localAndSource(e, r)
	e.endArr()
	e.bool("active", r.flags&inactive == 0)
	p.reference(e, "providedBy", organization, org)
	e.arr("type")
	e.concept("", sct, kindOf)
	e.endArr()
	e.arr("location")
	p.reference(e, "", location, loc)
	e.endArr()
	e.str("name", kindOf.display, ", ", w.place.name)
	if w.virtual || s.chance(200_000) {
		e.str("comment", "Telehealth appointments by video or telephone are available. Ask reception for a link before the day of the appointment.")
	}
	e.arr("telecom")
	telecom(e, "phone", "work", code{"ADMIN", "Administrative"}, phone(&contact, int(w.place.state)))
	telecom(e, "email", "work", code{"PATINF", "Patient"}, "bookings@", host(p.orgName(org)))
	e.endArr()
	p.coverage(e, r, &s, org)
	e.arr("serviceProvisionCode")
	first := s.pick(billingWeights)
	if r.fault.is(unknownCode) {
		e.concept("", hcpd+"CodeSystem/service-provision-cs", code{"ZZZ", "No such code"})
	} else {
		e.concept("", hcpd+"CodeSystem/service-provision-cs", billing[first])
	}
	if s.chance(100_000) {
		e.concept("", hcpd+"CodeSystem/service-provision-cs", billing[(first+1)%len(billing)])
	}
	e.endArr()
	if kindOf == svcAgedCare || kindOf == svcGeriatric || s.chance(50_000) {
		e.arr("eligibility")
		e.obj("")
		e.concept("code", sct, code{"933451001000036104", "Older adult 65+ years"})
		e.end()
		e.endArr()
	}
	e.arr("communication")
	e.concept("", bcp47, code{"en", "English"})
	if language, ok := drawLanguage(&s, 220_000); r.index == svcAnchorPortuguese {
		e.concept("", bcp47, code{"pt", "Portuguese"})
	} else if ok {
		e.concept("", bcp47, language)
	}
	e.endArr()
	e.bool("appointmentRequired", s.chance(700_000))
	opening := p.stream(aspectHours, service, r.key+r.content<<32)
	hours(e, &opening, w.place.zone, r.index <= svcAnchorPortuguese)
	notAvailable(e, &opening)
	p.uses(e, r)
}

// serviceExtensions writes the extensions of a service.
func (p *Plan) serviceExtensions(e *enc, r *record, s *stream, kindOf code) {
	statusExtensions(e, r)
	if mentalHealth[kindOf.code] {
		e.extension(cc + "StructureDefinition/iar-levels-of-care")
		e.concept("valueCodeableConcept", ncts+"iar-levels-of-care-1", []code{
			{"level1", "Level 1 - Self management"}, {"level2", "Level 2 - Low intensity services"}, {"level3", "Level 3 - Moderate intensity services"}}[s.n(3)])
		e.end()
	}
	if s.chance(700_000) {
		e.extension(cc + "StructureDefinition/new-patient-availability")
		e.concept("valueCodeableConcept", ncts+"new-patient-availability-1", code{"accepting", "Accepting new patients"})
		e.end()
	}
	if s.chance(600_000) {
		e.extension(cc + "StructureDefinition/active-period")
		e.obj("valuePeriod")
		e.date("start", lastDay-int64(400+s.n(3000))*day)
		if r.flags&inactive != 0 {
			e.date("end", lastDay-int64(1+s.n(390))*day)
		}
		e.end()
		e.end()
	}
	e.extension(cc + "StructureDefinition/referral-information-for-referrer")
	e.str("valueMarkdown", "**Referral** from a GP or specialist is welcome.\n\nPlease include:\n- recent medical history\n- current medications")
	e.end()
}

// coverage writes the coverage areas of home care services and mobile units.
func (p *Plan) coverage(e *enc, r *record, s *stream, org int) {
	areas := p.count[location] - p.locations
	n := 0
	switch {
	case org == orgBalmain:
		n = 1
	case p.archOf(org) == archHomeCare:
		n = 2 + min(s.n(59), s.n(59), s.n(59))
	case s.chance(30_000):
		n = 1
	}
	if n == 0 {
		return
	}
	first := s.n(areas)
	if org == orgBalmain {
		first = 0
	}
	e.arr("coverageArea")
	for i := range min(n, areas) {
		p.reference(e, "", location, p.locations+(first+i)%areas)
	}
	e.endArr()
}

// practitionerProfession returns the profession of a practitioner, also of one created
// after day 0.
func (p *Plan) practitionerProfession(prac int) int {
	if prac >= p.count[practitioner] {
		s := p.stream(aspectPlan, practitioner, prac)
		prac = s.n(p.count[practitioner])
	}
	profession, _ := p.practitionerBlock(prac)
	return profession
}

// registration writes the registration identifier of a practitioner. The roles repeat it.
func (p *Plan) registration(e *enc, profession, key int, f *fault) {
	number := 9_000_000_000 + p.perm.ahpra.at(key)
	if profession == peakBody {
		body := peakBodies[mix(uint64(key))%uint64(len(peakBodies))]
		e.identifier(hl7+"v2-0203", "PRN", ehns+"peakbody/"+body.acronym+"/1.0", appendDigits([]byte("PRN-"), key, 8))
		return
	}
	value := appendDigits([]byte(professions[profession].prefix), number, 10)
	if f.is(longAhpra) {
		value = append(value, '0', '0')
	}
	e.identifier(au+"v2-0203", "AHPRA", sysAhpra, value)
}

func (p *Plan) renderPractitioner(e *enc, r *record) {
	s := p.stream(aspectBody, practitioner, r.key)
	contact := p.stream(aspectContact, practitioner, r.key+r.content<<32)
	profession := p.practitionerProfession(r.index)
	female := s.chance(professions[profession].female)
	e.arr("extension")
	e.extension("http://hl7.org/fhir/StructureDefinition/individual-recordedSexOrGender")
	e.arr("extension")
	e.extension("value")
	e.concept("valueCodeableConcept", "http://hl7.org/fhir/administrative-gender", map[bool]code{true: {"female", "Female"}, false: {"male", "Male"}}[female])
	e.end()
	e.endArr()
	e.end()
	statusExtensions(e, r)
	e.endArr()
	p.hpii(e, r, &s)
	if r.flags&inactive != 0 || !s.chance(50_000) { // absent means active
		e.bool("active", r.flags&inactive == 0)
	}
	p.personNames(e, &s, female, profession)
	if contact.chance(300_000) || r.content > 0 {
		e.arr("telecom")
		telecom(e, "phone", "home", code{}, phone(&contact, contact.n(8)))
		telecom(e, "email", "home", code{}, "p", string(appendDigits(nil, r.key, 7)), "@mail.example.com.au")
		e.endArr()
	}
	e.arr("qualification")
	e.obj("")
	e.arr("identifier")
	p.registration(e, profession, r.key, r.fault)
	e.endArr()
	e.obj("code")
	text, issuer := professions[profession].name, "Ahpra"
	if profession == peakBody {
		body := peakBodies[mix(uint64(r.key))%uint64(len(peakBodies))]
		text, issuer = body.profession, body.name
	}
	e.str("text", text)
	e.end()
	e.obj("issuer")
	e.str("display", issuer)
	e.end()
	e.end()
	if profession != peakBody && s.chance(32_000) {
		p.secondQualification(e, r, profession)
	}
	e.endArr()
	if language, ok := drawLanguage(&s, 220_000); ok {
		e.arr("communication")
		e.concept("", bcp47, language)
		e.endArr()
	}
}

// secondQualification writes a second registration: nurses are also midwives, and others are
// registered in a further division.
func (p *Plan) secondQualification(e *enc, r *record, profession int) {
	text := professions[profession].name
	if profession == nurse {
		text = "Midwife"
	}
	e.obj("")
	e.arr("identifier")
	p.registration(e, profession, 500_000_000+r.key, nil)
	e.endArr()
	e.obj("code")
	e.str("text", text)
	e.end()
	e.obj("issuer")
	e.str("display", "Ahpra")
	e.end()
	e.end()
}

func (p *Plan) hpii(e *enc, r *record, s *stream) {
	key := r.key
	if r.fault.is(duplicateHPII) {
		key = r.index // that of the clean record
	}
	value := sixteen("80036199", 1_000_000+p.perm.hpii.at(key))
	if r.fault.is(badLuhn) {
		value[15] = '0' + (value[15]-'0'+1)%10
	}
	e.arr("identifier")
	e.obj("")
	e.arr("extension")
	hiStatus(e, s)
	e.endArr()
	e.concept("type", hl7+"v2-0203", code{code: "NPI"})
	e.str("system", sysHPII)
	e.raw("value", value)
	e.end()
	e.endArr()
}

func (p *Plan) personNames(e *enc, s *stream, female bool, profession int) {
	family, given := p.names.drawFamily(s), p.names.drawGiven(s, female)
	e.arr("name")
	e.obj("")
	e.str("use", "official")
	e.str("family", family)
	if !s.chance(3_000) {
		e.arr("given")
		e.str("", given)
		if s.chance(400_000) {
			e.str("", p.names.drawGiven(s, female))
		}
		e.endArr()
	}
	if profession == medical || profession == dental {
		e.arr("prefix")
		e.str("", "Dr")
		e.endArr()
	}
	e.end()
	if s.chance(60_000) {
		e.obj("")
		e.str("use", "usual")
		e.str("family", p.names.drawFamily(s))
		e.arr("given")
		e.str("", given)
		e.endArr()
		e.end()
	}
	e.endArr()
}

// roleCode returns the code of a role.
func (p *Plan) roleCode(profession, prac, arch int, kindOf code) code {
	switch profession {
	case peakBody:
		return peakBodies[mix(uint64(prac))%uint64(len(peakBodies))].role
	case medical:
		if special, ok := specialistRole[kindOf.code]; ok && (arch == archSpecialist || arch == archGP || arch == archDiagnostics) {
			return special
		}
		if arch == archGP {
			return doctorRoles[0]
		}
	}
	roles := professions[profession].roles
	return roles[mix(uint64(prac)*goldenGamma)%uint64(len(roles))]
}

func (p *Plan) renderRole(e *enc, r *record) {
	base := p.roleBase(r.index)
	org := owner(p.firstRole, base)
	svc := p.roleService(r.index, org, r.moved)
	loc := p.serviceLocation(svc, org)
	prac, profession := int(p.rolePrac[base]), int(p.roleProf[base])
	w := p.siteOf(loc, org)
	s := p.stream(aspectBody, role, r.key)
	contact := p.stream(aspectContact, role, r.key+r.content<<32)
	speaks := 220_000
	if profession == medical {
		speaks = 440_000
	}
	language, other := drawLanguage(&s, speaks)
	e.arr("extension")
	statusExtensions(e, r)
	e.extension(cc + "StructureDefinition/practitioner-role-communication")
	e.obj("valueCodeableConcept")
	e.arr("coding")
	e.coding("", bcp47, code{"en", "English"})
	if other {
		e.coding("", bcp47, language)
	}
	e.endArr()
	e.end()
	e.end()
	if s.chance(20_000) {
		e.extension(cc + "StructureDefinition/alternate-name")
		e.obj("valueHumanName")
		e.str("use", "usual")
		e.str("family", p.names.drawFamily(&s))
		e.end()
		e.end()
	}
	e.endArr()
	e.arr("identifier")
	p.localAndSource(e, r)
	p.registration(e, profession, prac, nil)
	if professions[profession].items {
		// One number per practitioner and location.
		stem := p.perm.medicare.at(prac % 1_000_000)
		e.identifier(au+"v2-0203", "UPIN", sysMed, medicareNumber(stem, 1+int(mix(uint64(loc))%30), p.opts.ValidCheckDigits))
	}
	e.endArr()
	e.bool("active", r.flags&inactive == 0)
	e.obj("period")
	e.date("start", lastDay-int64(800+s.n(3000))*day)
	if r.flags&inactive != 0 {
		e.date("end", lastDay-int64(1+s.n(700))*day)
	}
	e.end()
	if r.fault.is(danglingReference) {
		p.dangling(e, "practitioner", practitioner, r.key)
	} else {
		p.reference(e, "practitioner", practitioner, prac)
	}
	p.reference(e, "organization", organization, org)
	e.arr("code")
	if c := p.roleCode(profession, prac, p.archOf(org), p.serviceType(svc, org)); c.code != "" {
		e.concept("", sct, c)
	} else {
		e.obj("")
		e.str("text", c.display)
		e.end()
	}
	e.endArr()
	e.arr("location")
	p.reference(e, "", location, loc)
	e.endArr()
	e.arr("healthcareService")
	p.reference(e, "", service, svc)
	e.endArr()
	e.arr("telecom")
	telecom(e, "phone", "work", code{}, phone(&contact, int(w.place.state)))
	e.endArr()
	opening := p.stream(aspectHours, role, r.key+r.content<<32)
	hours(e, &opening, w.place.zone, false)
	notAvailable(e, &opening)
	p.uses(e, r)
}

func (p *Plan) renderProvenance(e *enc, r *record) {
	s := p.stream(aspectBody, provenance, r.key)
	target, index := r.target.kind, r.target.index
	activity := "UPDATE"
	if !r.target.set {
		target, index = p.provenanceTarget(r.index)
		switch draw := s.n(100); {
		case draw < 35:
			activity = "CREATE"
		case draw >= 95:
			activity = "APPEND"
		}
	}
	e.arr("target")
	if r.fault.is(danglingReference) {
		p.dangling(e, "", target, r.key)
	} else {
		e.obj("")
		if activity == "UPDATE" {
			e.arr("extension")
			e.extension("http://hl7.org/fhir/StructureDefinition/targetPath")
			e.str("valueString", map[bool]string{true: "contact[0].value", false: "telecom[0].value"}[target == endpoint])
			e.end()
			e.endArr()
		}
		e.str("reference", p.referenceText(target, index))
		e.end()
	}
	e.endArr()
	e.instant("recorded", r.updated)
	e.concept("activity", hl7+"v3-DataOperation", code{code: activity})
	p.agent(e, &s)
	e.arr("entity")
	e.obj("")
	e.str("role", "source")
	e.obj("what")
	e.obj("identifier")
	e.str("system", ehns+"source/pca")
	e.raw("value", appendDigits([]byte("SRC-"), r.key, 10))
	e.end()
	e.str("display", "Record as supplied by the source")
	e.end()
	e.end()
	e.endArr()
}

func (p *Plan) referenceText(k kind, index int) string {
	id := p.id(k, index)
	return Types[k] + "/" + string(id[:])
}

// agent writes the agent of a change: an organisation, or its first practitioner or role.
// These are never removed.
func (p *Plan) agent(e *enc, s *stream) {
	org := s.n(p.count[organization])
	who := p.referenceText(organization, org)
	draw := s.n(100)
	if start, n := span(p.firstRole, org); n > 0 {
		switch {
		case draw >= 90:
			who = p.referenceText(role, start)
		case draw >= 70:
			who = p.referenceText(practitioner, int(p.rolePrac[start]))
		}
	}
	e.arr("agent")
	e.obj("")
	e.concept("type", hl7+"provenance-participant-type", code{code: "author"})
	e.obj("who")
	e.str("reference", who)
	e.end()
	e.end()
	e.endArr()
}
