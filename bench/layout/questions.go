package main

import (
	"math/rand/v2"
)

// term is one token condition.
type term struct {
	param, sys int
	code       string
}

// question is one search of a given shape; which fields count depends on the shape.
type question struct {
	shape    string
	terms    []term  // driving term first
	rarest   bool    // put the rarest term first, by counts up to countLimit
	ref, via int     // reference parameters: of the asked type, and of the type in between
	param    int     // string parameter at the end of a chain, or the parameter that is to be missing
	text     string  // start of a string
	lat, lon float64 // centre of near
	km       float64
}

// shapes are the query shapes of the guide, each with its own questions.
var shapes = []struct {
	name, example string
	ask           func(g *generator, r *rand.Rand) question
}{
	{"eq-rare", "Practitioner?identifier=hpii|…", func(g *generator, r *rand.Rand) question {
		n := r.IntN(g.count[practitioner])
		e := g.make(practitioner, n, 0).entries[5]
		return question{shape: "terms", terms: []term{{e.param, e.sys, e.text}}}
	}},
	{"eq-popular", "PractitionerRole?role=…", func(g *generator, r *rand.Rand) question {
		return question{shape: "terms", terms: []term{roleCode(r)}}
	}},
	{"and", "PractitionerRole?role=…&languages=…", func(g *generator, r *rand.Rand) question {
		return question{shape: "terms", terms: []term{roleCode(r), {paramOf(role, pLanguage), 7, languageTag(skew(r, languages))}}}
	}},
	{"and-rarest", "the same, driven by the rarer term", func(g *generator, r *rand.Rand) question {
		return question{shape: "terms", rarest: true, terms: []term{roleCode(r), {paramOf(role, pLanguage), 7, languageTag(skew(r, languages))}}}
	}},
	{"and-broad", "PractitionerRole?daysofweek=mon&allday=false&active=true", func(g *generator, r *rand.Rand) question {
		return question{shape: "terms", terms: []term{{paramOf(role, pDays), 8, "mon"}, {paramOf(role, pAllDay), 0, "false"}, {paramOf(role, pActive), 0, "true"}}}
	}},
	{"prefix", "Practitioner?family=abc", func(g *generator, r *rand.Rand) question {
		return question{shape: "prefix", param: paramOf(practitioner, pFamily), text: word(skew(r, families))[:4]}
	}},
	{"chain", "PractitionerRole?location.address-city=…", func(g *generator, r *rand.Rand) question {
		return question{shape: "chain", ref: paramOf(role, pLocation), param: paramOf(location, pCity), text: cityName(skew(r, cities))}
	}},
	{"chain-broad", "PractitionerRole?active=true&location.address-state=…", func(g *generator, r *rand.Rand) question {
		return question{shape: "chain-by-row", terms: []term{{paramOf(role, pActive), 0, "true"}}, ref: paramOf(role, pLocation),
			param: paramOf(location, pState), text: []string{"ns", "vi", "ql"}[r.IntN(3)]}
	}},
	{"has", "Organization?_has:HealthcareService:organization:service-type=…", func(g *generator, r *rand.Rand) question {
		return question{shape: "has", terms: []term{{paramOf(service, pCode), 6, sct(skew(r, serviceTypes))}}, ref: paramOf(service, pOrganization)}
	}},
	{"has-chain", "Organization?_has:HealthcareService:organization:location.address-city=…", func(g *generator, r *rand.Rand) question {
		return question{shape: "has-chain", via: paramOf(service, pLocation), ref: paramOf(service, pOrganization), param: paramOf(location, pCity), text: cityName(skew(r, cities))}
	}},
	{"near", "Location?near=…|10|km", func(g *generator, r *rand.Rand) question {
		lat, lon := cityPosition(skew(r, cities))
		return question{shape: "near", param: paramOf(location, pNear), lat: lat, lon: lon, km: 10}
	}},
	{"not", "PractitionerRole?role=…&languages:not=aa", func(g *generator, r *rand.Rand) question {
		return question{shape: "not", terms: []term{roleCode(r), {paramOf(role, pLanguage), 7, languageTag(0)}}}
	}},
	{"missing", "PractitionerRole?role=…&endpoint:missing=true", func(g *generator, r *rand.Rand) question {
		return question{shape: "missing", terms: []term{roleCode(r)}, ref: paramOf(role, pEndpoint)}
	}},
}

func roleCode(r *rand.Rand) term {
	return term{paramOf(role, pCode), 6, sct(1000 + skew(r, roleCodes))}
}

// selection is the popular filter whose rows an export would select in full.
var selection = question{shape: "terms", terms: []term{{paramOf(role, pDays), 8, "mon"}}}
