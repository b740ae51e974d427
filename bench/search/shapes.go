package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// request is a search request.
type request struct {
	of  fhir.Type
	raw string // query string of the URL
}

func (q request) String() string { return q.of.String() + "?" + q.raw }

// shape is one kind of query.
type shape struct {
	name       string
	popular    bool // uses popular values instead of rare ones
	newRequest func(d *sampler) request
}

// Paths of values in resources, names of parameters, and prefixes of tokens.
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

// popularAndRare returns two shapes, one with popular and one with rare values.
func popularAndRare(name string, newRequest func(d *sampler) request) []shape {
	return []shape{{name + ", popular", true, newRequest}, {name + ", rare", false, newRequest}}
}

// newURL returns a request with parameters: name, value, name, value, …
func newURL(t fhir.Type, params ...string) request {
	var raw []string
	for pair := range slices.Chunk(params, 2) {
		raw = append(raw, pair[0]+"="+url.QueryEscape(pair[1]))
	}
	return request{t, strings.Join(raw, "&")}
}

// shapes returns the query shapes of the guide.
func shapes() (all []shape) {
	const (
		org, loc, svc, pr, prole = fhir.Organization, fhir.Location, fhir.HealthcareService, fhir.Practitioner, fhir.PractitionerRole
	)
	for _, list := range [][]shape{
		{{"identifier", false, func(d *sampler) request {
			id := texts(d.resource(pr), "identifier", "value")
			return newURL(pr, "identifier", hpii+pick(d.r, append(id, "8003610000000000")))
		}}},
		popularAndRare("token: role", func(d *sampler) request { return newURL(prole, "role", snomed+d.draw(prole, role)) }),
		popularAndRare("string: address-city", func(d *sampler) request { return newURL(loc, city, d.draw(loc, inCity)) }),
		popularAndRare("string: family name", func(d *sampler) request { return newURL(pr, "name", d.draw(pr, family)) }),
		popularAndRare("reference: organization", func(d *sampler) request {
			return newURL(prole, "organization", d.draw(prole, "organization.reference"))
		}),
		popularAndRare("two tokens", func(d *sampler) request {
			return newURL(prole, "role", snomed+d.draw(prole, role), "daysofweek", d.draw(prole, days))
		}),
		popularAndRare("three tokens", func(d *sampler) request {
			return newURL(svc, "service-type", snomed+d.draw(svc, service), "languages", "en", "daysofweek", d.draw(svc, days))
		}),
		popularAndRare("chain: location.address-city", func(d *sampler) request { return newURL(prole, "location."+city, d.draw(loc, inCity)) }),
		{{"chain, broad: location.address-state", true, func(d *sampler) request { return newURL(prole, "location.address-state", d.draw(loc, inState)) }}},
		popularAndRare("chain and token", func(d *sampler) request {
			return newURL(svc, "service-type", snomed+d.draw(svc, service), "location."+city, d.draw(loc, inCity))
		}),
		popularAndRare("chain of two: service.location.address-city", func(d *sampler) request {
			return newURL(prole, "service.location."+city, d.draw(loc, inCity))
		}),
		popularAndRare("_has: service-type", func(d *sampler) request {
			return newURL(org, "_has:HealthcareService:organization:service-type", snomed+d.draw(svc, service))
		}),
		popularAndRare("_has: organization", func(d *sampler) request {
			return newURL(pr, "_has:PractitionerRole:practitioner:organization", d.draw(prole, "organization.reference"))
		}),
		{{"_has, broad: address-state", true, func(d *sampler) request {
			return newURL(org, "_has:Location:organization:address-state", d.draw(loc, inState))
		}}},
		popularAndRare("chain in _has: location.address-city", func(d *sampler) request {
			return newURL(pr, "_has:PractitionerRole:practitioner:location.address-city", d.draw(loc, inCity))
		}),
		popularAndRare("chain in _has: service.service-type", func(d *sampler) request {
			return newURL(pr, "_has:PractitionerRole:practitioner:service.service-type", snomed+d.draw(svc, service))
		}),
		near(),
		popularAndRare("_sort=name", func(d *sampler) request {
			return newURL(svc, "service-type", snomed+d.draw(svc, service), "_sort", "name")
		}),
		popularAndRare("_sort=-_lastUpdated", func(d *sampler) request {
			return newURL(prole, "role", snomed+d.draw(prole, role), "_sort", "-_lastUpdated")
		}),
		{{"_sort=name, broad: address-state", true, func(d *sampler) request { return newURL(loc, "address-state", d.draw(loc, inState), "_sort", "name") }}},
		{{"_sort=-_lastUpdated, broad: daysofweek", true, func(d *sampler) request {
			return newURL(prole, "daysofweek", d.draw(prole, days), "_sort", "-_lastUpdated")
		}}},
		popularAndRare(":contains, organisation name", func(d *sampler) request { return newURL(org, "name:contains", d.word(org, "name")) }),
		popularAndRare(":contains, practitioner name", func(d *sampler) request { return newURL(pr, "name:contains", d.word(pr, family)) }),
		popularAndRare(":not", func(d *sampler) request {
			return newURL(prole, "role", snomed+d.draw(prole, role), "daysofweek:not", "mon")
		}),
		popularAndRare(":missing", func(d *sampler) request {
			return newURL(prole, "role", snomed+d.draw(prole, role), "endpoint:missing", "true")
		}),
		{{"starttime", false, func(d *sampler) request { return newURL(prole, "starttime", timeOfDay(d, 6)) }}},
		popularAndRare("service-type and endtime", func(d *sampler) request {
			return newURL(svc, "service-type", snomed+d.draw(svc, service), "languages", "en", "endtime", "gt"+timeOfDay(d, 16))
		}),
		{{"_lastUpdated alone, everything", true, func(*sampler) request { return newURL(prole, "_lastUpdated", "gt2020-01-01T00:00:00Z") }}},
		exampleOne(),
	} {
		all = append(all, list...)
	}
	return all
}

// timeOfDay returns a random time within five hours from an hour.
func timeOfDay(d *sampler, from int) string {
	return fmt.Sprintf("%02d%02d", from+d.r.IntN(5), 30*d.r.IntN(2))
}

// near returns shapes of circles around positions of Locations.
func near() (list []shape) {
	for _, c := range []struct {
		distance, sort string
	}{{"3", ""}, {"10", ""}, {"100", ""}, {"3", "near"}, {"10", "near"}, {"100", "near"}} {
		name := "near, " + c.distance + " km"
		if c.sort != "" {
			name += ", _sort=near"
		}
		list = append(list, shape{name, false, func(d *sampler) request {
			params := []string{"near", d.position() + "|" + c.distance + "|km"}
			if c.sort != "" {
				params = append(params, "_sort", c.sort)
			}
			return newURL(fhir.Location, params...)
		}})
	}
	return list
}

// exampleOne returns the five filters of the first example of the guide, with places and
// service types that exist in the directory.
func exampleOne() []shape {
	const has = "_has:PractitionerRole:practitioner:location."
	byAddress := func(t fhir.Type, prefix string, others func(d *sampler) []string) func(d *sampler) request {
		return func(d *sampler) request {
			place := d.resource(fhir.Location).Get("address")
			params := []string{prefix + city, firstText(place, "city"), prefix + postcode, firstText(place, "postalCode")}
			if others != nil {
				params = append(others(d), params...)
			}
			return newURL(t, params...)
		}
	}
	kind := func(d *sampler) string { return snomed + d.draw(fhir.HealthcareService, service) }
	return []shape{
		{"Example 1: HealthcareService", true, byAddress(fhir.HealthcareService, "location.", func(d *sampler) []string { return []string{"service-type", kind(d)} })},
		{"Example 1: Location", true, byAddress(fhir.Location, "", nil)},
		{"Example 1: PractitionerRole", true, byAddress(fhir.PractitionerRole, "location.", nil)},
		{"Example 1: Practitioner", true, byAddress(fhir.Practitioner, has, nil)},
		{"Example 1: Organization", true, func(d *sampler) request {
			return newURL(fhir.Organization, "_has:HealthcareService:organization:service-type", kind(d))
		}},
	}
}

// firstText returns the first string at a path, or a value that no resource has.
func firstText(v *fastjson.Value, path ...string) string {
	return append(texts(v, path...), "nowhere")[0]
}
