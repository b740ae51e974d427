package store_test

import (
	"slices"
	"strings"
	"testing"

	"muster/internal/store"
)

// TestMovedTo moves a directory from one base URL to the next, and back. Each base URL that it
// had remains known.
func TestMovedTo(t *testing.T) {
	id := store.Identity{Mode: "authoritative"}
	for _, step := range []struct{ to, want string }{
		{"", ""},
		{"http://a/fhir", "http://a/fhir"},
		{"http://a/fhir", "http://a/fhir"},
		{"", "http://a/fhir"},
		{"http://b/fhir", "http://b/fhir http://a/fhir"},
		{"http://c/fhir", "http://c/fhir http://b/fhir http://a/fhir"},
		{"http://a/fhir", "http://a/fhir http://c/fhir http://b/fhir"},
		{"http://a:80/fhir", "http://a:80/fhir http://c/fhir http://b/fhir"}, // another spelling
		{"http://a/fhir", "http://a/fhir http://c/fhir http://b/fhir"},
	} {
		if id = id.MovedTo(step.to); strings.Join(id.Addresses(), " ") != step.want || id.Mode != "authoritative" {
			t.Errorf("moved to %q: %+v, want the addresses %s", step.to, id, step.want)
		}
		var stored store.Identity
		for _, row := range id.MetaRows() {
			stored.SetMetaRow(row[0], row[1])
		}
		if !slices.Equal(stored.Addresses(), id.Addresses()) {
			t.Errorf("%+v is stored as %+v", id, stored)
		}
	}
}

// TestCheckUnchanged has another process change what table meta holds.
func TestCheckUnchanged(t *testing.T) {
	for _, c := range []struct {
		name           string
		opened, stored store.Identity
		want           string
	}{
		{"nothing", store.Identity{BaseURL: "http://a/fhir", DefinitionsHash: "d"}, store.Identity{BaseURL: "http://a/fhir", DefinitionsHash: "d"}, ""},
		{"definitions", store.Identity{DefinitionsHash: "d"}, store.Identity{DefinitionsHash: "e"}, "has reindexed the directory"},
		{"base URL", store.Identity{BaseURL: "http://a/fhir"}, store.Identity{BaseURL: "http://b/fhir"}, "has moved the directory to http://b/fhir"},
		{"first base URL", store.Identity{}, store.Identity{BaseURL: "http://b/fhir"}, ""},
	} {
		err := c.opened.CheckUnchanged(c.stored)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
