package searchsql

import (
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestExpandingRadii checks that smaller radii are tried if, and only if, the search is
// sorted by the distance from the centre of its own circle, nearest first.
func TestExpandingRadii(t *testing.T) {
	active := plan.Visible{Active: true, NotSuppressed: true}
	point, other := index.Position{Latitude: -33.8688, Longitude: 151.2093}, index.Position{Latitude: 1, Longitude: 2}
	near := plan.Near{Param: 65, Point: point, Meters: 3200}
	smaller := func(meters float64) plan.Node {
		return plan.And{plan.Near{Param: 65, Point: point, Meters: meters}, active}
	}
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
		for _, p := range expandingRadii(store.Search{Plan: plan.Plan{Type: fhir.Location, Root: c.root}, Order: []plan.Order{c.order}}) {
			got = append(got, p.Root)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}
