package plan

import (
	"fmt"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
)

// Sort reads the value of _sort for a plan: names of parameters, joined by commas,
// each with a minus in front for descending. The error is fhir.Issues.
func Sort(reg *conformance.Registry, p Plan, value string) ([]Order, error) {
	var orders []Order
	var issues fhir.Issues
	for _, key := range strings.Split(value, ",") {
		o, problem := sortBy(reg, p, key)
		if problem != "" {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf("_sort=%s %s", key, problem)})
			continue
		}
		orders = append(orders, o)
	}
	return orders, issues.Err()
}

func sortBy(reg *conformance.Registry, p Plan, key string) (Order, string) {
	name, descending := strings.CutPrefix(key, "-")
	o := Order{Descending: descending}
	param, ok := reg.Param(p.Type, name)
	switch {
	case !ok || param.Restricted != "":
		return o, fmt.Sprintf("names no search parameter of %s: sort by one, such as _lastUpdated or -_lastUpdated", p.Type)
	case param.Column:
		o.By = Column(param.Code)
		return o, ""
	}
	o.Param, o.Kind = param.ID, kinds[param.Type]
	if o.Kind == index.Location {
		near, ok := p.Nearest()
		if !ok {
			return o, "sorts by the distance from a point, and the search names none: add " + name + "=latitude|longitude"
		}
		o.Point = &near.Point
	}
	return o, ""
}
