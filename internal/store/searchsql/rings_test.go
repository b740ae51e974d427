package searchsql

import (
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestRings: a search is tried in smaller circles when, and only when, the order is by
// the distance from the centre of its own circle, nearest first.
func TestRings(t *testing.T) {
	near := plan.Near{Param: 65, Point: point, Meters: 3200}
	smaller := func(meters float64) plan.Node {
		return plan.And{plan.Near{Param: 65, Point: point, Meters: meters}, active}
	}
	other := index.Position{Latitude: 1, Longitude: 2}
	for _, c := range []struct {
		name  string
		root  plan.Node
		order plan.Order
		want  []plan.Node
	}{
		{"nearest first", plan.And{near, active}, plan.Order{Param: 65, Kind: index.Location, Point: &point}, []plan.Node{smaller(100), smaller(400)}},
		{"furthest first", plan.And{near, active}, plan.Order{Param: 65, Kind: index.Location, Point: &point, Descending: true}, nil},
		{"from elsewhere", plan.And{near, active}, plan.Order{Param: 65, Kind: index.Location, Point: &other}, nil},
		{"one of two circles", plan.And{plan.Or{near, near}, active}, plan.Order{Param: 65, Kind: index.Location, Point: &point}, nil},
		{"by name", plan.And{near, active}, plan.Order{Param: 4, Kind: index.String}, nil},
	} {
		var got []plan.Node
		for _, p := range rings(store.Search{Plan: plan.Plan{Type: fhir.Location, Root: c.root}, Order: []plan.Order{c.order}}) {
			got = append(got, p.Root)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}
