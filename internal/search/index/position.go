package index

import (
	"math"

	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"
)

// EarthRadius is the mean radius of the earth in metres, for distances on the great circle
// (SR-50).
const EarthRadius = 6_371_008.8

// Cell returns the number of the S2 leaf cell (about a square centimetre) of the position.
// Tables hold it: positions near each other have numbers near each other.
func (p Position) Cell() int64 { return int64(s2.CellIDFromLatLng(p.latLng())) }

func (p Position) latLng() s2.LatLng { return s2.LatLngFromDegrees(p.Latitude, p.Longitude) }

// Distance returns the distance between two positions in metres.
func (p Position) Distance(q Position) float64 {
	return 2 * EarthRadius * math.Asin(math.Sqrt(min(1, p.Haversine(q))))
}

// Haversine returns the square of the sine of half the angle between two positions. It
// increases with the distance, and databases can compute it.
func (p Position) Haversine(q Position) float64 {
	lat := math.Sin(radians(q.Latitude-p.Latitude) / 2)
	lon := math.Sin(radians(q.Longitude-p.Longitude) / 2)
	return lat*lat + math.Cos(radians(p.Latitude))*math.Cos(radians(q.Latitude))*lon*lon
}

// HaversineOf returns the [Position.Haversine] of two positions at a distance in metres.
func HaversineOf(meters float64) float64 {
	s := math.Sin(min(meters/EarthRadius, math.Pi) / 2)
	return s * s
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// CellRange is a range of cell numbers, including both ends.
type CellRange struct{ First, Last int64 }

// maxCells is how many ranges cover a circle: with eight, less than half of the covered area
// is outside of the circle.
const maxCells = 8

// Around returns ranges of cells that cover every position within a distance in metres of
// p, and some others.
func (p Position) Around(meters float64) []CellRange {
	coverer := s2.RegionCoverer{MaxLevel: s2.MaxLevel, MaxCells: maxCells, LevelMod: 1}
	// The circle is a little larger, so that rounding does not exclude a position at its edge.
	angle := min(meters*(1+1e-6)/EarthRadius+1e-9, math.Pi)
	circle := s2.CapFromCenterAngle(s2.PointFromLatLng(p.latLng()), s1.Angle(angle))
	var ranges []CellRange
	for _, c := range coverer.Covering(circle) {
		ranges = append(ranges, CellRange{int64(c.RangeMin()), int64(c.RangeMax())})
	}
	return ranges
}
