package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// question is a search as a client sends it.
type question struct {
	of  fhir.Type
	raw string // the query of the URL
}

func (q question) String() string { return q.of.String() + "?" + q.raw }

// shape is one kind of question. Those without values are asked as they are.
type shape struct {
	name    string
	popular bool // which values it is asked with
	ask     func(d *drawer) question
}

// Where values stand in resources.
const (
	role    = "code.coding.code"
	service = "type.coding.code"
	inCity  = "address.city"
	inState = "address.state"
	family  = "name.family"
	days    = "availableTime.daysOfWeek"

	city     = "address-city"
	postcode = "address-postalcode"

	snomed = "http://snomed.info/sct|"
	hpii   = "http://ns.electronichealth.net.au/id/hi/hpii/1.0|"
)

// both makes two shapes of one, with popular and with rare values.
func both(name string, ask func(d *drawer) question) []shape {
	return []shape{{name + ", popular", true, ask}, {name + ", rare", false, ask}}
}

// urlOf is a question with these parameters: name, value, name, value, …
func urlOf(t fhir.Type, params ...string) question {
	var raw []string
	for pair := range slices.Chunk(params, 2) {
		raw = append(raw, pair[0]+"="+url.QueryEscape(pair[1]))
	}
	return question{t, strings.Join(raw, "&")}
}

// shapes are the query shapes of the guide.
func shapes() (all []shape) {
	const (
		org, loc, svc, pr, prole = fhir.Organization, fhir.Location, fhir.HealthcareService, fhir.Practitioner, fhir.PractitionerRole
	)
	for _, list := range [][]shape{
		{{"identifier", false, func(d *drawer) question {
			id := texts(d.any(pr), "identifier", "value")
			return urlOf(pr, "identifier", hpii+pick(d.r, append(id, "8003610000000000")))
		}}},
		both("token: role", func(d *drawer) question { return urlOf(prole, "role", snomed+d.draw(prole, role)) }),
		both("string: address-city", func(d *drawer) question { return urlOf(loc, city, d.draw(loc, inCity)) }),
		both("string: family name", func(d *drawer) question { return urlOf(pr, "name", d.draw(pr, family)) }),
		both("reference: organization", func(d *drawer) question {
			return urlOf(prole, "organization", d.draw(prole, "organization.reference"))
		}),
		both("two tokens", func(d *drawer) question {
			return urlOf(prole, "role", snomed+d.draw(prole, role), "daysofweek", d.draw(prole, days))
		}),
		both("three tokens", func(d *drawer) question {
			return urlOf(svc, "service-type", snomed+d.draw(svc, service), "languages", "en", "daysofweek", d.draw(svc, days))
		}),
		both("chain: location.address-city", func(d *drawer) question { return urlOf(prole, "location."+city, d.draw(loc, inCity)) }),
		{{"chain, broad: location.address-state", true, func(d *drawer) question { return urlOf(prole, "location.address-state", d.draw(loc, inState)) }}},
		both("chain and token", func(d *drawer) question {
			return urlOf(svc, "service-type", snomed+d.draw(svc, service), "location."+city, d.draw(loc, inCity))
		}),
		both("chain of two: service.location.address-city", func(d *drawer) question {
			return urlOf(prole, "service.location."+city, d.draw(loc, inCity))
		}),
		both("_has: service-type", func(d *drawer) question {
			return urlOf(org, "_has:HealthcareService:organization:service-type", snomed+d.draw(svc, service))
		}),
		both("_has: organization", func(d *drawer) question {
			return urlOf(pr, "_has:PractitionerRole:practitioner:organization", d.draw(prole, "organization.reference"))
		}),
		{{"_has, broad: address-state", true, func(d *drawer) question {
			return urlOf(org, "_has:Location:organization:address-state", d.draw(loc, inState))
		}}},
		both("chain in _has: location.address-city", func(d *drawer) question {
			return urlOf(pr, "_has:PractitionerRole:practitioner:location.address-city", d.draw(loc, inCity))
		}),
		both("chain in _has: service.service-type", func(d *drawer) question {
			return urlOf(pr, "_has:PractitionerRole:practitioner:service.service-type", snomed+d.draw(svc, service))
		}),
		near(),
		both("_sort=name", func(d *drawer) question {
			return urlOf(svc, "service-type", snomed+d.draw(svc, service), "_sort", "name")
		}),
		both("_sort=-_lastUpdated", func(d *drawer) question {
			return urlOf(prole, "role", snomed+d.draw(prole, role), "_sort", "-_lastUpdated")
		}),
		{{"_sort=name, broad: address-state", true, func(d *drawer) question { return urlOf(loc, "address-state", d.draw(loc, inState), "_sort", "name") }}},
		{{"_sort=-_lastUpdated, broad: daysofweek", true, func(d *drawer) question {
			return urlOf(prole, "daysofweek", d.draw(prole, days), "_sort", "-_lastUpdated")
		}}},
		both(":contains, organisation name", func(d *drawer) question { return urlOf(org, "name:contains", d.word(org, "name")) }),
		both(":contains, practitioner name", func(d *drawer) question { return urlOf(pr, "name:contains", d.word(pr, family)) }),
		both(":not", func(d *drawer) question {
			return urlOf(prole, "role", snomed+d.draw(prole, role), "daysofweek:not", "mon")
		}),
		both(":missing", func(d *drawer) question {
			return urlOf(prole, "role", snomed+d.draw(prole, role), "endpoint:missing", "true")
		}),
		{{"starttime", false, func(d *drawer) question { return urlOf(prole, "starttime", clock(d, 6)) }}},
		both("service-type and endtime", func(d *drawer) question {
			return urlOf(svc, "service-type", snomed+d.draw(svc, service), "languages", "en", "endtime", "gt"+clock(d, 16))
		}),
		{{"_lastUpdated alone, everything", true, func(*drawer) question { return urlOf(prole, "_lastUpdated", "gt2020-01-01T00:00:00Z") }}},
		exampleOne(),
	} {
		all = append(all, list...)
	}
	return all
}

// clock draws a time of the five hours from an hour on.
func clock(d *drawer, from int) string {
	return fmt.Sprintf("%02d%02d", from+d.r.IntN(5), 30*d.r.IntN(2))
}

// near are circles around places that have locations.
func near() (list []shape) {
	for _, c := range []struct {
		distance, sort string
	}{{"3", ""}, {"10", ""}, {"100", ""}, {"3", "near"}, {"10", "near"}, {"100", "near"}} {
		name := "near, " + c.distance + " km"
		if c.sort != "" {
			name += ", _sort=near"
		}
		list = append(list, shape{name, false, func(d *drawer) question {
			params := []string{"near", d.position() + "|" + c.distance + "|km"}
			if c.sort != "" {
				params = append(params, "_sort", c.sort)
			}
			return urlOf(fhir.Location, params...)
		}})
	}
	return list
}

// exampleOne are the five filters of the first example of the guide, each for a place
// and a kind of service that there are.
func exampleOne() []shape {
	const has = "_has:PractitionerRole:practitioner:location."
	ask := func(t fhir.Type, prefix string, others func(d *drawer) []string) func(d *drawer) question {
		return func(d *drawer) question {
			place := d.any(fhir.Location).Get("address")
			params := []string{prefix + city, one(place, "city"), prefix + postcode, one(place, "postalCode")}
			if others != nil {
				params = append(others(d), params...)
			}
			return urlOf(t, params...)
		}
	}
	kind := func(d *drawer) string { return snomed + d.draw(fhir.HealthcareService, service) }
	return []shape{
		{"Example 1: HealthcareService", true, ask(fhir.HealthcareService, "location.", func(d *drawer) []string { return []string{"service-type", kind(d)} })},
		{"Example 1: Location", true, ask(fhir.Location, "", nil)},
		{"Example 1: PractitionerRole", true, ask(fhir.PractitionerRole, "location.", nil)},
		{"Example 1: Practitioner", true, ask(fhir.Practitioner, has, nil)},
		{"Example 1: Organization", true, func(d *drawer) question {
			return urlOf(fhir.Organization, "_has:HealthcareService:organization:service-type", kind(d))
		}},
	}
}

// one is the first text at a path, a value that nobody has if there is none.
func one(v *fastjson.Value, path ...string) string {
	return append(texts(v, path...), "nowhere")[0]
}
