package export

import (
	"encoding/json"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/store"
)

// maxEntries is how many entries one List has, so that a line stays within what clients read.
const maxEntries = 10_000

// listGenerator generates the parts with Lists of changes to the copy of a client.
type listGenerator struct {
	*generator
	head    string // of a List, up to its entries
	text    []byte // of the List that is open
	entries int    // in text
}

// newListGenerator returns a generator for an export as of a time. The title needs no escapes in
// JSON.
func newListGenerator(kind store.PartKind, partBytes int64, title string, at fhir.Instant) *listGenerator {
	return &listGenerator{
		generator: newGenerator(kind, partBytes),
		head: `{"resourceType":"List","meta":{"lastUpdated":"` + at.String() + `"},"status":"current","mode":"changes","title":"` + title +
			`","date":"` + at.String() + `","entry":[`,
	}
}

// listEntry is an entry of a List.
type listEntry struct {
	Deleted bool     `json:"deleted,omitempty"`
	Item    listItem `json:"item"`
}

// listItem refers to a resource in one of two ways.
type listItem struct {
	Reference  string          `json:"reference,omitempty"`
	Identifier *listIdentifier `json:"identifier,omitempty"`
}

type listIdentifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// byIdentifier returns the entry of the removal List for an identifier (RM-02).
func byIdentifier(i policy.Identifier) listEntry {
	return listEntry{Item: listItem{Identifier: &listIdentifier{i.System, i.Value}}}
}

// addEntry adds an entry to the List that is open.
func (g *listGenerator) addEntry(e listEntry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if g.entries == 0 {
		g.text = append(g.text[:0], g.head...)
	} else {
		g.text = append(g.text, ',')
	}
	g.text = append(g.text, text...)
	if g.entries++; g.entries == maxEntries {
		return g.endList()
	}
	return nil
}

// endList ends the List that is open.
func (g *listGenerator) endList() error {
	if g.entries == 0 {
		return nil
	}
	g.entries = 0
	return g.add(append(g.text, "]}"...))
}

// end ends the last part and returns all parts.
func (g *listGenerator) end() ([]store.Part, error) {
	if err := g.endList(); err != nil {
		return nil, err
	}
	return g.generator.end()
}
