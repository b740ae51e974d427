package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"muster/internal/humanize"
)

//go:embed page.html.tmpl
var pageText string

// page is the data of the template.
type page struct {
	*Report
	Title    string
	States   []string
	Dangling int
	Map      mapView
	Roles    []barView
	Age      []barView
	Month    []barView
	Largest  []barView

	Suppressing []barView
	Tallies     []tally
}

// tally is one row of the table of types and states.
type tally struct {
	TypeCount
	Cells []cell
}

// cell is a count with the strength of its shade, from 0 to 1.
type cell struct {
	Count int
	Shade float64
}

// barView is a bar with its width in percent of the longest.
type barView struct {
	Label, Note, Share string
	Count              int
	Width              float64
}

// mapView is the map: a graticule, some towns for orientation, and the points.
type mapView struct {
	Width, Height    float64
	Meridians, Lines []gridLine
	Land             []string // polygons, as points attributes of SVG
	Towns            []town
	Points           []dot
	Outside          int // number of locations outside the map
}

type gridLine struct {
	At    float64
	Label string
}

type town struct {
	Name   string
	X, Y   float64
	Anchor string
	Dx, Dy float64 // from the point to the name
}

type dot struct{ X, Y, R float64 }

// The edges of the map in degrees, and the units per degree. A degree of longitude is
// narrower than one of latitude by the ratio at 27 degrees south.
const (
	west, east   = 111.0, 158.0
	north, south = -9.0, -45.0
	perLat       = 20.0
	perLon       = perLat * 0.891
)

// towns lists the capitals and two more towns for orientation. dx and dy are the offset
// from the point to the name, chosen so that the name covers few locations. A name with a
// negative dx is right-aligned.
var towns = []struct {
	name     string
	lon, lat float64
	dx, dy   float64
}{
	{"Sydney", 151.21, -33.87, 12, 4}, {"Melbourne", 144.96, -37.81, 8, 30}, {"Brisbane", 153.03, -27.47, 16, 4},
	{"Perth", 115.86, -31.95, -12, 4}, {"Adelaide", 138.6, -34.93, -12, 4}, {"Hobart", 147.33, -42.88, 12, 4},
	{"Canberra", 149.13, -35.28, -12, 4}, {"Darwin", 130.84, -12.46, 12, 4}, {"Alice Springs", 133.88, -23.7, 10, 4}, {"Cairns", 145.77, -16.92, 12, 4},
}

// land is a coarse hand-drawn outline of alternating longitudes and latitudes.
var land = [][]float64{
	{ // mainland, clockwise from Cape York
		142.5, -10.7, 143.3, -12.4, 143.8, -14.4, 144.9, -14.6, 145.4, -15.6, 145.5, -16.6, 146.1, -17.8, 146.3, -18.8, 147.6, -19.6, 148.7, -20.3,
		149.3, -21.4, 150.0, -22.3, 150.8, -23.3, 151.7, -24.0, 152.6, -25.0, 153.1, -26.0, 153.2, -27.3, 153.6, -28.6, 153.1, -30.3, 152.9, -31.5,
		151.8, -32.9, 151.3, -33.8, 150.8, -34.8, 150.2, -36.0, 150.0, -37.3, 148.3, -37.9, 147.0, -38.5, 146.3, -39.1, 145.4, -38.5, 144.9, -37.9,
		144.4, -38.3, 143.5, -38.8, 142.0, -38.4, 140.9, -38.1, 139.8, -37.2, 139.6, -36.2, 138.4, -35.6, 138.5, -34.8, 138.1, -34.2, 137.7, -35.1,
		136.9, -35.2, 137.5, -34.1, 137.8, -32.9, 136.8, -33.8, 135.7, -34.9, 135.2, -34.3, 134.2, -33.0, 133.0, -32.2, 131.2, -31.5, 129.0, -31.7,
		126.2, -32.3, 124.0, -33.1, 123.5, -33.9, 121.9, -33.9, 119.9, -34.0, 118.0, -35.0, 116.5, -35.0, 115.1, -34.3, 115.6, -33.3, 115.7, -31.8,
		115.0, -30.3, 114.6, -28.8, 113.7, -26.7, 113.5, -25.5, 113.5, -24.0, 113.8, -22.6, 114.2, -21.9, 115.4, -21.4, 116.8, -20.6, 118.6, -20.3,
		119.9, -19.9, 121.5, -19.0, 122.2, -17.9, 122.6, -16.8, 123.6, -17.3, 123.7, -16.2, 124.6, -15.4, 125.8, -14.4, 127.0, -13.9, 128.2, -14.9,
		129.4, -14.9, 129.8, -13.6, 130.6, -12.6, 131.4, -12.2, 132.6, -12.1, 133.6, -11.8, 135.2, -12.2, 136.8, -12.2, 136.3, -13.4, 135.6, -14.9,
		136.9, -15.8, 138.4, -16.8, 139.5, -17.4, 140.8, -17.5, 141.2, -16.4, 141.6, -14.7, 141.7, -12.8,
	},
	{144.7, -40.7, 146.3, -41.1, 147.9, -40.8, 148.3, -41.9, 147.9, -43.1, 146.8, -43.6, 145.9, -43.4, 145.2, -42.2}, // Tasmania
}

func newMap(points []Point) mapView {
	m := mapView{Width: (east - west) * perLon, Height: (north - south) * perLat}
	x := func(lon float64) float64 { return (lon - west) * perLon }
	y := func(lat float64) float64 { return (north - lat) * perLat }
	for lon := 115.0; lon < east-2; lon += 5 {
		m.Meridians = append(m.Meridians, gridLine{x(lon), fmt.Sprintf("%.0f° E", lon)})
	}
	for _, shape := range land {
		points := make([]string, 0, len(shape)/2)
		for i := 0; i < len(shape); i += 2 {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(shape[i]), y(shape[i+1])))
		}
		m.Land = append(m.Land, strings.Join(points, " "))
	}
	for lat := -10.0; lat > south; lat -= 5 {
		m.Lines = append(m.Lines, gridLine{y(lat), fmt.Sprintf("%.0f° S", -lat)})
	}
	for _, t := range towns {
		v := town{Name: t.name, X: x(t.lon), Y: y(t.lat), Anchor: "start", Dx: t.dx, Dy: t.dy}
		if t.dx < 0 {
			v.Anchor = "end"
		}
		m.Towns = append(m.Towns, v)
	}
	for _, p := range points {
		if p.Lon < west || p.Lon > east || p.Lat > north || p.Lat < south {
			m.Outside += p.Count
			continue
		}
		m.Points = append(m.Points, dot{x(p.Lon), y(p.Lat), math.Min(12, 1.1*math.Pow(float64(p.Count), 0.34))})
	}
	return m
}

// dayView is a row of the table of changes by day. A day is named in its first row only.
type dayView struct {
	Day, Type string
	Cells     []cell
}

// DayRows returns the rows of the table of changes by day, shaded by their share of the largest
// count.
func (c *Changes) DayRows() (rows []dayView) {
	most := 1
	for _, d := range c.Days {
		most = max(most, slices.Max(d.Counts))
	}
	last := ""
	for _, d := range c.Days {
		row := dayView{Day: d.Day, Type: d.Type}
		if d.Day == last {
			row.Day = ""
		}
		last = d.Day
		for _, n := range d.Counts {
			row.Cells = append(row.Cells, cell{n, math.Sqrt(float64(n)/float64(most)) * 0.55})
		}
		rows = append(rows, row)
	}
	return rows
}

func barViews(bars []Bar) []barView {
	most, total := 1, 0
	for _, b := range bars {
		most, total = max(most, b.Count), total+b.Count
	}
	views := make([]barView, len(bars))
	for i, b := range bars {
		views[i] = barView{Label: b.Label, Count: b.Count, Share: percent(b.Count, total), Width: 100 * float64(b.Count) / float64(most)}
	}
	return views
}

func newPage(r *Report, title string) page {
	p := page{Report: r, Title: title, States: States, Dangling: r.dangling(), Map: newMap(r.Positioned),
		Roles: barViews(r.RolesPer), Age: barViews(r.Ages), Month: barViews(r.Months)}
	for _, o := range r.Organizations {
		p.Largest = append(p.Largest, barView{Label: o.Name, Note: o.State, Count: o.Roles, Width: 100 * float64(o.Roles) / float64(r.Organizations[0].Roles)})
	}
	for _, h := range r.Hiders {
		label := strings.TrimRight(h.ID+"  "+h.Name, " ")
		p.Suppressing = append(p.Suppressing, barView{Label: label, Count: h.Count, Width: 100 * float64(h.Count) / float64(r.Hiders[0].Count)})
	}
	for _, t := range r.Types {
		row := tally{TypeCount: t}
		for _, n := range t.ByState {
			row.Cells = append(row.Cells, cell{n, math.Sqrt(float64(n)/float64(max(t.Total, 1))) * 0.55})
		}
		p.Tallies = append(p.Tallies, row)
	}
	return p
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"thousands": humanize.Int[int],
	"percent":   percent,
	"shorten":   shorten,
}).Parse(pageText))

// HTML writes the report as one self-contained page, without scripts or references to other
// files.
func (r *Report) HTML(w io.Writer, title string) error {
	return pageTemplate.Execute(w, newPage(r, title))
}
