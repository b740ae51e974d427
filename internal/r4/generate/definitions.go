package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// roots are the types whose elements the table has, with all types that they use. Element has
// the members of an extended primitive.
var roots = []string{"Organization", "Location", "Endpoint", "HealthcareService", "Practitioner", "PractitionerRole", "Provenance", "Element"}

// definitions are the published definitions of FHIR R4.
type definitions struct {
	structures map[string]*structure // by type name
	valueSets  map[string]*valueSet  // by canonical
	systems    map[string]*codeSystem
}

type structure struct {
	Type     string `json:"type"`
	Kind     string `json:"kind"`
	Snapshot struct {
		Element []elementDefinition `json:"element"`
	} `json:"snapshot"`
}

type elementDefinition struct {
	Path string `json:"path"`
	Min  int    `json:"min"`
	Max  string `json:"max"`
	Type []struct {
		Code      string `json:"code"`
		Extension []struct {
			URL      string `json:"url"`
			ValueURL string `json:"valueUrl"`
		} `json:"extension"`
	} `json:"type"`
	ContentReference string `json:"contentReference"`
	Binding          *struct {
		Strength string `json:"strength"`
		ValueSet string `json:"valueSet"`
	} `json:"binding"`
}

type valueSet struct {
	Compose struct {
		Include []struct {
			System   string            `json:"system"`
			Concept  []concept         `json:"concept"`
			Filter   []json.RawMessage `json:"filter"`
			ValueSet []string          `json:"valueSet"`
		} `json:"include"`
		Exclude []json.RawMessage `json:"exclude"`
	} `json:"compose"`
}

type codeSystem struct {
	Content string    `json:"content"`
	Concept []concept `json:"concept"`
}

type concept struct {
	Code    string    `json:"code"`
	Concept []concept `json:"concept"`
}

// readDefinitions reads the bundles of a folder.
func readDefinitions(dir string) (*definitions, error) {
	d := &definitions{map[string]*structure{}, map[string]*valueSet{}, map[string]*codeSystem{}}
	for _, name := range []string{"profiles-types.json", "profiles-resources.json", "valuesets.json", "v3-codesystems.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		var bundle struct {
			Entry []struct {
				Resource json.RawMessage `json:"resource"`
			} `json:"entry"`
		}
		if err := json.Unmarshal(text, &bundle); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, entry := range bundle.Entry {
			if err := d.add(entry.Resource); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return d, nil
}

// add adds one definition, and ignores other resources.
func (d *definitions) add(text json.RawMessage) error {
	var head struct {
		ResourceType string `json:"resourceType"`
		Name         string `json:"name"`
		URL          string `json:"url"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	var into any
	switch head.ResourceType {
	case "StructureDefinition":
		s := &structure{}
		d.structures[head.Name], into = s, s
	case "ValueSet":
		s := &valueSet{}
		d.valueSets[head.URL], into = s, s
	case "CodeSystem":
		s := &codeSystem{}
		d.systems[head.URL], into = s, s
	default:
		return nil
	}
	return json.Unmarshal(text, into)
}

// element is one row of the table.
type element struct {
	of, name string
	min      int
	many     bool
	types    []string
	valueSet string
}

// table holds the rows of all types.
type table struct {
	elements []element
	codes    map[string][]string // by the name of the value set
	bound    map[string]bool     // value sets that cannot be listed, for the log
}

// table makes the rows of the roots and of all types that they use.
func (d *definitions) table() (*table, error) {
	t := &table{codes: map[string][]string{}, bound: map[string]bool{}}
	todo := slices.Clone(roots)
	done := map[string]bool{"Resource": true, "xhtml": true}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if done[name] {
			continue
		}
		done[name] = true
		s := d.structures[name]
		if s == nil {
			return nil, fmt.Errorf("the type %s is not defined", name)
		}
		first := len(t.elements)
		if err := d.addElements(t, s); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range t.elements[first:] {
			for _, used := range e.types {
				if used[0] >= 'A' && used[0] <= 'Z' && !strings.Contains(used, ".") {
					todo = append(todo, used)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.bound)) {
		fmt.Fprintf(os.Stderr, "not checked, since its codes are not listed: %s\n", name)
	}
	return t, nil
}

// addElements appends the rows of one type.
func (d *definitions) addElements(t *table, s *structure) error {
	list := s.Snapshot.Element
	nested := map[string]bool{} // paths that have elements of their own
	for _, e := range list {
		nested[e.Path[:max(0, strings.LastIndexByte(e.Path, '.'))]] = true
	}
	for _, e := range list {
		dot := strings.LastIndexByte(e.Path, '.')
		if dot < 0 || e.Max == "0" {
			continue
		}
		row := element{of: e.Path[:dot], name: e.Path[dot+1:], min: e.Min, many: e.Max == "*"}
		if e.Max != "1" && e.Max != "*" {
			return fmt.Errorf("%s: the table has no maximum of %s", e.Path, e.Max)
		}
		switch {
		case e.ContentReference != "":
			row.types = []string{strings.TrimPrefix(e.ContentReference, "#")}
		case nested[e.Path]:
			row.types = []string{e.Path}
		default:
			row.types = typesOf(s, e)
		}
		if e.Binding != nil && e.Binding.Strength == "required" {
			if err := d.bind(t, &row, e.Binding.ValueSet); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		t.elements = append(t.elements, row)
	}
	return nil
}

// typesOf returns the types of an element. The definitions name the primitives at the root of
// FHIR by types of FHIRPath.
func typesOf(s *structure, e elementDefinition) (names []string) {
	for _, t := range e.Type {
		name := t.Code
		if strings.Contains(name, "/") {
			name = "string"
			for _, extension := range t.Extension {
				if extension.ValueURL != "" {
					name = extension.ValueURL
				}
			}
			if s.Kind == "resource" && e.Path == s.Type+".id" {
				name = "id"
			}
		}
		names = append(names, name)
	}
	return names
}

// bind sets the value set of a row, unless its codes cannot be listed.
func (d *definitions) bind(t *table, row *element, canonical string) error {
	canonical, _, _ = strings.Cut(canonical, "|")
	if !slices.Equal(row.types, []string{"code"}) {
		return fmt.Errorf("the binding of %v is not supported", row.types)
	}
	name := canonical[strings.LastIndexByte(canonical, '/')+1:]
	codes, err := d.codesOf(canonical)
	if err != nil {
		return err
	}
	if codes == nil {
		t.bound[name] = true
		return nil
	}
	row.valueSet, t.codes[name] = name, codes
	return nil
}

// codesOf returns the codes of a value set, nil if it includes a system without a list of
// codes, such as languages or media types.
func (d *definitions) codesOf(canonical string) (codes []string, err error) {
	set := d.valueSets[canonical]
	if set == nil {
		return nil, fmt.Errorf("the value set %s is not defined", canonical)
	}
	if len(set.Compose.Exclude) > 0 {
		return nil, nil
	}
	for _, include := range set.Compose.Include {
		list := include.Concept
		if list == nil && len(include.Filter) == 0 && len(include.ValueSet) == 0 {
			if system := d.systems[include.System]; system != nil && system.Content == "complete" {
				list = system.Concept
			}
		}
		if list == nil {
			return nil, nil
		}
		codes = appendCodes(codes, list)
	}
	return codes, nil
}

// appendCodes appends codes and the codes below them.
func appendCodes(codes []string, list []concept) []string {
	for _, c := range list {
		if !slices.Contains(codes, c.Code) {
			codes = append(codes, c.Code)
		}
		codes = appendCodes(codes, c.Concept)
	}
	return codes
}

const generated = "# Generated by internal/r4/generate from the definitions that README.md names. Do not edit.\n"

// elementText writes the table of elements.
func (t *table) elementText() string {
	var b strings.Builder
	b.WriteString(generated + "# type, element, cardinality, types, value set\n")
	for _, e := range t.elements {
		limit := "1"
		if e.many {
			limit = "*"
		}
		fmt.Fprintf(&b, "%s\t%s\t%d..%s\t%s", e.of, e.name, e.min, limit, strings.Join(e.types, " "))
		if e.valueSet != "" {
			b.WriteString("\t" + e.valueSet)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// codeText writes the table of value sets.
func (t *table) codeText() string {
	var b strings.Builder
	b.WriteString(generated + "# value set, codes\n")
	for _, name := range slices.Sorted(maps.Keys(t.codes)) {
		fmt.Fprintf(&b, "%s\t%s\n", name, strings.Join(t.codes[name], " "))
	}
	return b.String()
}

// find returns the row of an element, nil if there is none.
func (t *table) find(of, name string) *element {
	for i := range t.elements {
		e := &t.elements[i]
		if e.of == of && (e.name == name || strings.HasSuffix(e.name, "[x]") && strings.HasPrefix(name, strings.TrimSuffix(e.name, "[x]"))) {
			return e
		}
	}
	return nil
}
