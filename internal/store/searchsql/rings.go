package searchsql

import (
	"slices"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// shares are the parts of the distance in which a search sorted by near looks first.
var shares = []float64{1. / 32, 1. / 8}

// rings are smaller searches to try before one that is sorted by the distance that it
// limits: whoever is in a smaller circle is nearer than all outside, so a page that the
// circle fills is the page. Without them, everything in a large circle would be
// gathered and measured for the nearest few.
func rings(s store.Search) (smaller []plan.Plan) {
	all, ok := s.Plan.Root.(plan.And)
	if !ok || len(s.Order) == 0 || s.Order[0].Descending || s.Order[0].Kind != index.Location || s.Order[0].Point == nil {
		return nil
	}
	at := slices.IndexFunc(all, func(n plan.Node) bool {
		near, ok := n.(plan.Near)
		return ok && near.Param == s.Order[0].Param && near.Point == *s.Order[0].Point
	})
	if at < 0 {
		return nil
	}
	for _, share := range shares {
		near := all[at].(plan.Near)
		near.Meters *= share
		inner := slices.Clone(all)
		inner[at] = near
		smaller = append(smaller, plan.Plan{Type: s.Plan.Type, Root: inner})
	}
	return smaller
}
