package synth

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

// lists holds the data files. data/README.md lists their sources.
//
//go:embed data/au-places.tsv data/*.txt
var lists embed.FS

// states lists the states and territories in the order of all tables of the package.
var states = [8]string{"ACT", "NSW", "NT", "QLD", "SA", "TAS", "VIC", "WA"}

const (
	stateNSW = 1
	stateQLD = 3
)

// areaCodes lists the telephone area codes in the order of states.
var areaCodes = [8]string{"02", "02", "08", "07", "08", "03", "03", "08"}

// place is one suburb or town. Coordinates are in units of 1e-5 degrees, which avoids
// floating point numbers.
type place struct {
	name, postcode, zone string
	state                uint8
	lat, lon             int
}

// gazetteer is the table of places with the weights for drawing from it.
type gazetteer struct {
	places   []place
	byState  [8][]int // indices into places
	weights  [8][]int // cumulative weights of byState
	balmain  int
	sydney   int
	capitals [8]int // the place with the largest weight in each state
}

// sydneyShare is the share of the locations of New South Wales in Sydney 2000, in ppm. It
// yields 4,000 locations in a national directory.
const sydneyShare = 56_000

// loadGazetteer reads the embedded table of places.
func loadGazetteer() (*gazetteer, error) {
	text, err := lists.ReadFile("data/au-places.tsv")
	if err != nil {
		return nil, fmt.Errorf("read embedded places: %w", err)
	}
	g := &gazetteer{balmain: -1, sydney: -1}
	var weights, heaviest [8]int
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if i == 0 {
			continue
		}
		p, weight, err := parsePlace(line)
		if err != nil {
			return nil, fmt.Errorf("read embedded places: line %d: %w", i+1, err)
		}
		index := len(g.places)
		g.places = append(g.places, p)
		g.byState[p.state] = append(g.byState[p.state], index)
		weights[p.state] += weight
		g.weights[p.state] = append(g.weights[p.state], weights[p.state])
		if weight > heaviest[p.state] {
			heaviest[p.state], g.capitals[p.state] = weight, index
		}
		switch {
		case p.name == "Balmain" && p.postcode == "2041":
			g.balmain = index
		case p.name == "Sydney" && p.postcode == "2000":
			g.sydney = index
		}
	}
	if g.balmain < 0 || g.sydney < 0 {
		return nil, fmt.Errorf("read embedded places: Balmain 2041 or Sydney 2000 is missing")
	}
	return g, nil
}

func parsePlace(line string) (place, int, error) {
	f := strings.Split(line, "\t")
	if len(f) != 8 {
		return place{}, 0, fmt.Errorf("%d columns, want 8", len(f))
	}
	state := -1
	for i, name := range states {
		if name == f[1] {
			state = i
		}
	}
	lat, err1 := parseDegrees(f[3])
	lon, err2 := parseDegrees(f[4])
	weight, err3 := strconv.Atoi(f[6])
	if state < 0 || err1 != nil || err2 != nil || err3 != nil {
		return place{}, 0, fmt.Errorf("%q is not a place", line)
	}
	return place{name: f[0], postcode: f[2], zone: f[7], state: uint8(state), lat: lat, lon: lon}, weight, nil
}

// parseDegrees parses decimal degrees as units of 1e-5 degrees.
func parseDegrees(text string) (int, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	n, err := strconv.Atoi(whole + (fraction + "00000")[:5])
	if negative {
		n = -n
	}
	return n, err
}

// draw draws a place of a state by weight.
func (g *gazetteer) draw(s *stream, state int) int {
	if state == stateNSW && s.chance(sydneyShare) {
		return g.sydney
	}
	return g.byState[state][s.pick(g.weights[state])]
}
