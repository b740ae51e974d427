package searchsql

import (
	"slices"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// radiusFractions are the fractions of the distance that are tried first in a search
// sorted by near.
var radiusFractions = []float64{1. / 32, 1. / 8}

// expandingRadii returns the plans of smaller searches to try before a search that is
// limited and sorted by the distance from the same point. All matches in a smaller
// circle are nearer than those outside, so a page that a smaller circle fills is
// correct. The full search would compute the distance of every match in the large
// circle.
func expandingRadii(search store.Search) (smaller []plan.Plan) {
	root, ok := search.Plan.Root.(plan.And)
	if !ok || len(search.Order) == 0 {
		return nil
	}
	order := search.Order[0]
	if order.Descending || order.Kind != index.Location || order.Point == nil {
		return nil
	}
	at := slices.IndexFunc(root, func(n plan.Node) bool {
		near, ok := n.(plan.Near)
		return ok && near.Param == order.Param && near.Point == *order.Point
	})
	if at < 0 {
		return nil
	}
	for _, fraction := range radiusFractions {
		near := root[at].(plan.Near)
		near.Meters *= fraction
		inner := slices.Clone(root)
		inner[at] = near
		smaller = append(smaller, plan.Plan{Type: search.Plan.Type, Root: inner})
	}
	return smaller
}
