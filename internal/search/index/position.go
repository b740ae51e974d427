package index

import (
	"math"

	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"
)

// EarthRadius is the mean radius in metres by which distances are measured, on
// the great circle (SR-50).
const EarthRadius = 6_371_008.8

// Cell is the number of the S2 leaf cell (about a square centimetre) that holds
// the position, as tables keep it: places that are near have numbers that are near.
func (p Position) Cell() int64 { return int64(s2.CellIDFromLatLng(p.latLng())) }

func (p Position) latLng() s2.LatLng { return s2.LatLngFromDegrees(p.Latitude, p.Longitude) }

// Distance is the distance between two positions in metres.
func (p Position) Distance(q Position) float64 {
	return 2 * EarthRadius * math.Asin(math.Sqrt(min(1, p.Haversine(q))))
}

// Haversine is the square of the sine of half the angle between two positions. It
// grows with the distance, and databases can compute it.
func (p Position) Haversine(q Position) float64 {
	lat := math.Sin(radians(q.Latitude-p.Latitude) / 2)
	lon := math.Sin(radians(q.Longitude-p.Longitude) / 2)
	return lat*lat + math.Cos(radians(p.Latitude))*math.Cos(radians(q.Latitude))*lon*lon
}

// HaversineOf is the [Position.Haversine] of two positions that are so many metres apart.
func HaversineOf(meters float64) float64 {
	s := math.Sin(min(meters/EarthRadius, math.Pi) / 2)
	return s * s
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// CellRange is a range of cell numbers, both ends inside.
type CellRange struct{ First, Last int64 }

// mostCells is how many ranges a circle is covered by: with eight, less than half
// of what they cover lies outside.
const mostCells = 8

// Around returns ranges of cells that together hold every position within so many
// metres of p, and some others.
func (p Position) Around(meters float64) []CellRange {
	coverer := s2.RegionCoverer{MaxLevel: s2.MaxLevel, MaxCells: mostCells, LevelMod: 1}
	// A little more than asked, so that no rounding leaves a position out at the edge.
	angle := min(meters*(1+1e-6)/EarthRadius+1e-9, math.Pi)
	circle := s2.CapFromCenterAngle(s2.PointFromLatLng(p.latLng()), s1.Angle(angle))
	var ranges []CellRange
	for _, c := range coverer.Covering(circle) {
		ranges = append(ranges, CellRange{int64(c.RangeMin()), int64(c.RangeMax())})
	}
	return ranges
}
