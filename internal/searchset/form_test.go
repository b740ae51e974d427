package searchset

import (
	"testing"

	"muster/internal/fhir"
	"muster/internal/search"
)

// TestRepresentations checks what representations keep of a resource (RD-07): numbers and
// escapes unchanged, extensions of primitive values with their element, the SUBSETTED
// tag after other tags.
func TestRepresentations(t *testing.T) {
	elements := func(t fhir.Type, names ...string) search.Representation {
		var f search.Representation
		for _, e := range fhir.Elements(t) {
			for _, n := range names {
				if e.Name == n {
					f.Elements = append(f.Elements, e)
				}
			}
		}
		return f
	}
	const location = `{"resourceType":"Location","id":"a","meta":{"versionId":"1","lastUpdated":"x","tag":[{"code":"mine"}]},"implicitRules":"r","text":{"div":"d"},` +
		`"modifierExtension":[1],"extension":[2],"status":"active","_status":{"id":"s"},"name":"a\u2028b","_name":{"id":"n"},"alias":["c"],"position":{"longitude":151.20930,"latitude":-33.80}}`
	const start = `{"resourceType":"Location","id":"a","meta":{"versionId":"1","lastUpdated":"x","tag":[{"code":"mine"},` + subsettedTag + `]},"implicitRules":"r",`
	const status = `"status":"active","_status":{"id":"s"}`
	for _, c := range []struct {
		name string
		form search.Representation
		want string
	}{
		{"whole", search.Representation{}, location},
		{"pretty does not change the resource", search.Representation{Pretty: true}, location},
		{"name", elements(fhir.Location, "name"), start + `"modifierExtension":[1],` + status + `,"name":"a\u2028b","_name":{"id":"n"}}`},
		{"position", elements(fhir.Location, "position"), start + `"modifierExtension":[1],` + status + `,"position":{"longitude":151.20930,"latitude":-33.80}}`},
		{"summary", search.Representation{Summary: search.SummaryTrue}, start + `"modifierExtension":[1],` + status + `,"name":"a\u2028b","_name":{"id":"n"}}`},
		{"text", search.Representation{Summary: search.SummaryText}, start + `"text":{"div":"d"},"modifierExtension":[1],` + status + `}`},
		{"data", search.Representation{Summary: search.SummaryData}, start + `"modifierExtension":[1],"extension":[2],` + status + `,"name":"a\u2028b","_name":{"id":"n"},"alias":["c"],"position":{"longitude":151.20930,"latitude":-33.80}}`},
	} {
		got, err := represent([]byte("before "), fhir.Location, []byte(location), c.form)
		if err != nil || string(got) != "before "+c.want {
			t.Errorf("%s: %v\n got %s\nwant before %s", c.name, err, got, c.want)
		}
	}
	if _, err := represent(nil, fhir.Location, []byte(`{"id"`), elements(fhir.Location, "name")); err == nil {
		t.Error("no error for a truncated resource")
	}
}
