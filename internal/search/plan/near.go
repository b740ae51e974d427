package plan

import (
	"fmt"
	"regexp"
	"strconv"

	"muster/internal/conformance"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

var decimalForm = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)

// metres are the units of a distance (SR-51).
var metres = map[string]float64{"": 1000, "km": 1000, "m": 1, "mi": 1609.344, "[mi_i]": 1609.344}

// near reads latitude|longitude|distance|unit. The unit defaults to kilometres, the distance
// to Settings.Near.
func (b *builder) near(p conformance.Param, v query.Value) (Node, string) {
	if len(v.Parts) < 2 || len(v.Parts) > 4 {
		return nil, "write latitude|longitude|distance|unit, such as -33.8688|151.2093|3|km"
	}
	parts := append(append([]string{}, v.Parts...), "", "")
	latitude, ok1 := decimal(parts[0], 90)
	longitude, ok2 := decimal(parts[1], 180)
	if !ok1 || !ok2 {
		return nil, "write latitude and longitude as decimal degrees, from -90 to 90 and from -180 to 180"
	}
	unit, ok := metres[parts[3]]
	if !ok {
		return nil, fmt.Sprintf("the unit %q is not one of km, m, mi and [mi_i]", parts[3])
	}
	near := Near{Param: p.ID, Point: index.Position{Latitude: latitude, Longitude: longitude}, Meters: b.set.Near}
	if parts[2] != "" {
		distance, ok := decimal(parts[2], 1e9)
		if !ok || distance <= 0 {
			return nil, "write the distance as a number above 0"
		}
		near.Meters = distance * unit
	}
	return near, ""
}

// decimal reads a number from -most to most.
func decimal(text string, most float64) (float64, bool) {
	if !decimalForm.MatchString(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && f >= -most && f <= most
}

// Points returns the points of the Near conditions of a parameter on the resources that the
// plan finds, for _sort=near.
func (p Plan) Points(param int) []index.Position { return points(nil, p.Root, param) }

func points(dst []index.Position, n Node, param int) []index.Position {
	switch n := n.(type) {
	case Near:
		if n.Param == param {
			dst = append(dst, n.Point)
		}
	case And:
		for _, part := range n {
			dst = points(dst, part, param)
		}
	case Or:
		for _, part := range n {
			dst = points(dst, part, param)
		}
	}
	return dst
}
