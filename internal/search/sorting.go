package search

import (
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/search/query"
)

// sortKey is one key of _sort before planning: near takes its point from the plan.
type sortKey struct {
	plan.Order
	near bool
	at   query.Span
}

// sortKinds are the index entries by which parameters of each type are sorted (SR-54).
var sortKinds = map[conformance.ParamType]index.Kind{
	conformance.String: index.String,
	conformance.Token:  index.Token,
	conformance.Date:   index.Date,
	conformance.Number: index.Number,
	conformance.URI:    index.URI,
}

// sort reads _sort: names of parameters, each with a leading minus sign for descending
// order (SR-51, SR-54).
func (r *resultReader) sort(l query.Criterion) {
	for _, v := range l.Values {
		name, descending := strings.CutPrefix(text(v), "-")
		key := sortKey{Order: plan.Order{Descending: descending}, at: v.At}
		switch name {
		case string(plan.ByID), string(plan.ByUpdated):
			key.By = plan.Column(name)
			r.order = append(r.order, key)
			continue
		}
		p, ok := r.reg.Param(r.q.Type, name)
		if problem := policy.Restriction(r.q.Type, name, p); problem != "" {
			r.refuse(fhir.CodeNotSupported, v.At, "%s", problem)
			continue
		}
		key.Param, key.Kind = p.ID, sortKinds[p.Type]
		switch {
		case ok && p.Type == conformance.Special:
			key.near = true
		case !ok || p.Column || key.Kind == 0:
			r.invalid(v.At, "cannot be sorted by: use some of %s, with a leading minus sign for descending order", r.sortable())
			continue
		}
		r.order = append(r.order, key)
	}
}

func (r *resultReader) sortable() string {
	names := []string{string(plan.ByID), string(plan.ByUpdated)}
	for _, p := range r.reg.Params(r.q.Type) {
		switch {
		case p.Column || p.Restricted != "":
		case p.Type == conformance.Special:
			names = append(names, p.Code+" (in a search by "+p.Code+")")
		case sortKinds[p.Type] != 0:
			names = append(names, p.Code)
		}
	}
	return strings.Join(names, ", ")
}

// bindOrder returns the order of the search, in which near has the point of the plan
// (SR-51).
func (r *resultReader) bindOrder(p plan.Plan) []plan.Order {
	var order []plan.Order
	for _, key := range r.order {
		if key.near {
			points := p.Points(key.Param)
			if len(points) != 1 {
				r.invalid(key.at, "sorts by the distance from the point of the search, but the search has %d points: write near=latitude|longitude|distance once, with one value", len(points))
				continue
			}
			key.Order = plan.Order{Param: key.Param, Kind: index.Location, Point: &points[0], Descending: key.Descending}
		}
		order = append(order, key.Order)
	}
	return order
}
