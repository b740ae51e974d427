package searchtest

import (
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
)

// Directory holds resources as parsed JSON. It remembers what it has read of them,
// so it serves one goroutine.
type Directory struct {
	base   string
	zone   zone
	byType map[fhir.Type][]*Resource
	byName map[string]*Resource // "Type/id"
}

// Resource is one resource as parsed JSON.
type Resource struct {
	Type  fhir.Type
	ID    string
	Batch int // which load it came with, from 1: what _since asks about

	body   map[string]any
	values map[string][]value // by code, once read
	hidden *bool
}

// NewDirectory makes an empty directory. References may be absolute URLs below
// base; dates without a zone are those of the zone.
func NewDirectory(base string, loc zone) *Directory {
	return &Directory{base: base, zone: loc, byType: map[fhir.Type][]*Resource{}, byName: map[string]*Resource{}}
}

// Add reads one resource, as the directory serves it.
func (d *Directory) Add(line []byte, batch int) error {
	r := &Resource{Batch: batch, values: map[string][]value{}}
	if err := json.Unmarshal(line, &r.body); err != nil {
		return err
	}
	name, _ := r.body["resourceType"].(string)
	t, ok := fhir.ParseType(name)
	if !ok {
		return fmt.Errorf("%q is none of the seven types", name)
	}
	r.Type = t
	r.ID, _ = r.body["id"].(string)
	if _, twice := d.byName[r.name()]; twice {
		return fmt.Errorf("%s stands twice", r.name())
	}
	d.byType[t] = append(d.byType[t], r)
	d.byName[r.name()] = r
	return nil
}

func (r *Resource) name() string { return r.Type.String() + "/" + r.ID }

// Size is the number of resources.
func (d *Directory) Size() int { return len(d.byName) }

// at follows the names from an element, through every item of a list.
func at(from any, path ...string) []any {
	if list, ok := from.([]any); ok {
		var found []any
		for _, item := range list {
			found = append(found, at(item, path...)...)
		}
		return found
	}
	if from == nil {
		return nil
	}
	if len(path) == 0 {
		return []any{from}
	}
	object, ok := from.(map[string]any)
	if !ok {
		return nil
	}
	return at(object[path[0]], path[1:]...)
}

// text is the string at the path, empty if there is none.
func text(from any, path ...string) string {
	for _, found := range at(from, path...) {
		s, _ := found.(string)
		return s
	}
	return ""
}

// extensions are the extensions of an element under a url.
func extensions(from any, url string) []any {
	var found []any
	for _, e := range at(from, "extension") {
		if text(e, "url") == url {
			found = append(found, e)
		}
	}
	return found
}

// Names are the Type/id of all resources, type by type.
func (d *Directory) Names() []string {
	var list []string
	for _, t := range fhir.Types() {
		for _, r := range d.byType[t] {
			list = append(list, r.name())
		}
	}
	return list
}
