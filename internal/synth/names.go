package synth

import (
	"fmt"
	"strings"
)

// names holds the lists of names of people and streets.
type names struct {
	family, female, male, streets []string
	familyWeights                 []int // running sums, Zipf over the rank
}

// unusualFamilies and unusualGivens have letters outside ASCII, straight and typographic
// apostrophes, hyphens and spaces.
var (
	unusualFamilies = []string{"O'Brien", "O’Connor", "D’Souza", "D'Angelo", "Müller", "Nguyễn", "Đặng", "Núñez", "García-López", "Søndergaard", "Łukaszewski", "Šimić", "Çelik", "van der Berg", "de la Cruz", "St John", "Smith-Jones", "Al-Hassan", "Ó Súilleabháin", "Żuk", "Ibáñez", "Björk", "Ngāpuhi", "Þórsson", "Lê"}
	unusualGivens   = []string{"Zoë", "Renée", "Siân", "José", "Anaïs", "Noël", "Chloë", "Seán", "Máire", "Jean-Luc", "Mary Anne", "Thị Hương", "Björn", "Łucja", "D’Arcy", "Aña"}
	streetTypes     = []string{"Street", "Street", "Street", "Road", "Road", "Avenue", "Drive", "Lane", "Parade", "Place", "Court", "Crescent", "Terrace", "Highway", "Esplanade", "Way"}
)

// zipfOffset flattens the head of the distribution, so that the first family name has 1 %.
const zipfOffset = 43

func loadNames() (*names, error) {
	n := new(names)
	for file, list := range map[string]*[]string{
		"family-names.txt": &n.family, "given-names-female.txt": &n.female,
		"given-names-male.txt": &n.male, "street-names.txt": &n.streets,
	} {
		text, err := lists.ReadFile("data/" + file)
		if err != nil {
			return nil, fmt.Errorf("read embedded names: %w", err)
		}
		*list = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	weights := make([]int, len(n.family))
	for rank := range weights {
		weights[rank] = 1_000_000 / (rank + zipfOffset)
	}
	n.familyWeights = cumulate(weights)
	return n, nil
}

// unusualShare is the share of unusual names, in ppm.
const unusualShare = 10_000

func (n *names) drawFamily(s *stream) string {
	if s.chance(unusualShare) {
		return unusualFamilies[s.n(len(unusualFamilies))]
	}
	return n.family[s.pick(n.familyWeights)]
}

func (n *names) drawGiven(s *stream, female bool) string {
	if s.chance(unusualShare) {
		return unusualGivens[s.n(len(unusualGivens))]
	}
	if female {
		return n.female[s.n(len(n.female))]
	}
	return n.male[s.n(len(n.male))]
}

func (n *names) drawStreet(s *stream) string {
	return n.streets[s.n(len(n.streets))] + " " + streetTypes[s.n(len(streetTypes))]
}
