package searchtest

import (
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
)

// Directory holds resources as parsed JSON. It caches values, so it is not safe for
// concurrent use.
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
	Batch int // number of the load that wrote it, from 1, for _since

	body   map[string]any
	values map[string][]value // cached, by code
	hidden *bool              // cached
}

// NewDirectory returns an empty directory. References may be absolute URLs below base.
// Dates without a time zone are in loc.
func NewDirectory(base string, loc zone) *Directory {
	return &Directory{base: base, zone: loc, byType: map[fhir.Type][]*Resource{}, byName: map[string]*Resource{}}
}

// Add adds a resource as the directory serves it. batch is the number of the load that
// wrote it, from 1.
func (d *Directory) Add(line []byte, batch int) error {
	r := &Resource{Batch: batch, values: map[string][]value{}}
	if err := json.Unmarshal(line, &r.body); err != nil {
		return err
	}
	name, _ := r.body["resourceType"].(string)
	t, ok := fhir.ParseType(name)
	if !ok {
		return fmt.Errorf("%q is not one of the seven resource types", name)
	}
	r.Type = t
	r.ID, _ = r.body["id"].(string)
	if _, exists := d.byName[r.name()]; exists {
		return fmt.Errorf("duplicate resource %s", r.name())
	}
	d.byType[t] = append(d.byType[t], r)
	d.byName[r.name()] = r
	return nil
}

func (r *Resource) name() string { return r.Type.String() + "/" + r.ID }

// Size returns the number of resources.
func (d *Directory) Size() int { return len(d.byName) }

// at returns the elements at a path, through every item of the lists on the path.
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

// text returns the first string at the path, or an empty string.
func text(from any, path ...string) string {
	for _, found := range at(from, path...) {
		s, _ := found.(string)
		return s
	}
	return ""
}

// extensions returns the extensions of an element with the url.
func extensions(from any, url string) []any {
	var found []any
	for _, e := range at(from, "extension") {
		if text(e, "url") == url {
			found = append(found, e)
		}
	}
	return found
}

// Names returns the Type/id of all resources, grouped by type.
func (d *Directory) Names() []string {
	var list []string
	for _, t := range fhir.Types() {
		for _, r := range d.byType[t] {
			list = append(list, r.name())
		}
	}
	return list
}
