package conformance

import (
	"bytes"
	_ "embed" // for the value sets
	"encoding/json"
	"fmt"
	"slices"

	"muster/internal/r4"
)

//go:embed definitions/value-sets.json
var valueSets []byte

// ValueSet is the required value set of an element that has no system of its own: a code, a
// boolean. Its system is implied, so that a query may state it (SR-47). Read from
// definitions/value-sets.json.
type ValueSet struct {
	Name    string   `json:"name"`    // by which parameters refer to it; the last segment of its URL, if it has one
	URL     string   `json:"url"`     // canonical, empty if none is published
	Systems []string `json:"systems"` // names of the system of the codes, the first preferred
	Codes   []string `json:"codes"`   // empty if the codes are not listed; those of FHIR R4 are in package r4
	Closed  bool     `json:"closed"`  // no element can have another code

	// Stated is set if the elements state the system themselves, as codings do. Entries then
	// hold the system; otherwise they hold none.
	Stated bool `json:"stated"`
}

// parseValueSets parses the value sets by name. It returns an error for an incomplete one and
// for one that is defined twice.
func parseValueSets(text []byte) (map[string]ValueSet, error) {
	var file struct {
		ValueSets []ValueSet `json:"valueSets"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	tables, err := r4.Load()
	if err != nil {
		return nil, err
	}
	sets := map[string]ValueSet{}
	for _, s := range file.ValueSets {
		if s.Codes == nil {
			s.Codes = tables.Codes[s.Name]
		}
		switch _, taken := sets[s.Name]; {
		case taken || s.Name == "" || len(s.Systems) == 0 || slices.Contains(s.Systems, ""):
			return nil, fmt.Errorf("value set %q is duplicate or incomplete: give it one name and its systems", s.Name)
		case s.Closed && len(s.Codes) == 0:
			return nil, fmt.Errorf("value set %q is closed and has no codes: list them", s.Name)
		}
		sets[s.Name] = s
	}
	return sets, nil
}

// resolveValueSets returns the value sets with the names that a definition lists.
func resolveValueSets(sets map[string]ValueSet, names []string) ([]ValueSet, error) {
	var list []ValueSet
	for _, name := range names {
		s, ok := sets[name]
		if !ok {
			return nil, fmt.Errorf("value set %q is unknown: define it in value-sets.json", name)
		}
		list = append(list, s)
	}
	return list, nil
}

// impliesSystem reports whether elements of the data type have a system that they do not
// state.
func impliesSystem(element string) bool { return element == "code" || element == "boolean" }
