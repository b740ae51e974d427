package conformance

import (
	"bytes"
	_ "embed" // for the definitions
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
)

//go:embed definitions/search-parameters.json
var searchParameters []byte

// Load reads the embedded definitions. An error is a mistake in the definitions.
func Load() (*Registry, error) {
	if _, err := nameTable(); err != nil {
		return nil, fmt.Errorf("read names.json: %w", err)
	}
	r, err := parse(searchParameters, valueSets)
	if err != nil {
		return nil, fmt.Errorf("read search parameter definitions: %w", err)
	}
	return r, nil
}

// definitions is the content of definitions/search-parameters.json; its README describes
// the fields.
type definitions struct {
	Parameters []struct {
		ID         int       `json:"id"`
		Base       string    `json:"base"`
		Code       string    `json:"code"`
		Type       ParamType `json:"type"`
		Element    string    `json:"element"`
		Role       Role      `json:"role"`
		Expression string    `json:"expression"`
		URL        string    `json:"url"`
		Target     []string  `json:"target"`
		Native     string    `json:"native"`
		Spelling   string    `json:"spelling"`
		Column     bool      `json:"column"`
		Restricted string    `json:"restricted"`
		Personal   bool      `json:"personal"`
		Modifiers  []string  `json:"modifiers"`
		Marker     int       `json:"marker"`
		Marks      Mark      `json:"marks"`
		Parts      int       `json:"parts"`
		Values     []string  `json:"values"`
	} `json:"parameters"`
	Aliases []struct {
		Base  string `json:"base"`
		Alias string `json:"alias"`
		Code  string `json:"code"`
	} `json:"aliases"`
}

// parse parses the definitions and the value sets that they name into a registry.
func parse(text, valueSets []byte) (*Registry, error) {
	sets, err := parseValueSets(valueSets)
	if err != nil {
		return nil, err
	}
	var d definitions
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, err
	}
	var params []Param
	for _, p := range d.Parameters {
		bases, err := typesOf(p.Base)
		if err != nil {
			return nil, fmt.Errorf("search parameter %s: %w", p.Code, err)
		}
		values, err := resolveValueSets(sets, p.Values)
		if err != nil {
			return nil, fmt.Errorf("search parameter %s?%s: %w", p.Base, p.Code, err)
		}
		if indexed := !p.Column && p.Restricted == ""; indexed && impliesSystem(p.Element) != (values != nil) {
			return nil, fmt.Errorf("search parameter %s?%s: elements of type %s and value sets belong together: name the required value set of a code or boolean", p.Base, p.Code, p.Element)
		}
		for _, base := range bases {
			params = append(params, Param{
				ID: p.ID, Code: p.Code, Type: p.Type, Base: base, Element: p.Element, Expression: p.Expression,
				Native: p.Native, Spelling: p.Spelling, Column: p.Column, Target: p.Target, Role: p.Role, URL: p.URL, Restricted: p.Restricted, Personal: p.Personal,
				Modifiers: p.Modifiers, Marker: p.Marker, Marks: p.Marks, Parts: p.Parts, Values: values,
			})
		}
	}
	aliases := map[fhir.Type]map[string]string{}
	for _, a := range d.Aliases {
		bases, err := typesOf(a.Base)
		if err != nil {
			return nil, fmt.Errorf("alias %s: %w", a.Alias, err)
		}
		for _, base := range bases {
			if aliases[base] == nil {
				aliases[base] = map[string]string{}
			}
			aliases[base][a.Alias] = a.Code
		}
	}
	return NewRegistry(params, aliases)
}

// typesOf returns the types of a base; Resource stands for all types.
func typesOf(base string) ([]fhir.Type, error) {
	if base == "Resource" {
		return fhir.Types(), nil
	}
	t, ok := fhir.ParseType(base)
	if !ok {
		return nil, fmt.Errorf("base %q is none of the types of the directory: use Resource or one of %s", base, fhir.Names(fhir.Types()))
	}
	return []fhir.Type{t}, nil
}
