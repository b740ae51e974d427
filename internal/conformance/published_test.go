package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"muster/internal/fhir"
	"muster/internal/testkit/golden"
)

// TestSearchPage holds docs/search.md to the definitions.
func TestSearchPage(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "search.md")
	reg := load(t)
	got := SearchPage(reg)
	for _, rt := range reg.Types() {
		for _, p := range reg.Params(rt) {
			if p.Native+p.Spelling != "" && ruleNotes[p.Native]+ruleNotes[p.Spelling] == "" {
				t.Errorf("%s?%s: searchpage.go does not tell what its rule means", rt, p.Code)
			}
		}
	}
	golden.Check(t, page, got)
}

// TestGuideIsCovered holds the statement to the one that the guide publishes for
// directories: each of its parameters, includes and interactions is in ours.
func TestGuideIsCovered(t *testing.T) {
	t.Attr("requirements", "CS-04 CS-06 TR-02 TR-04")
	text, err := os.ReadFile("../../../shared/data/ig-conformance/CapabilityStatement-health-connect-provider-directory-responder.json")
	if err != nil {
		t.Skip("the guide's conformance resources are not there: put them into ../shared/data/ig-conformance beside the project")
	}
	var guide, ours capabilityStatement
	if err := json.Unmarshal(text, &guide); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(CapabilityStatement(load(t), CapabilityOptions{BaseURL: "http://x/fhir"}), &ours); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, want := range guide.Rest[0].Resource {
		if _, ok := fhir.ParseType(want.Type); !ok { // Parameters, which has nothing to search (CS-06)
			if !slices.ContainsFunc(ours.Rest[0].Resource, func(r resource) bool { return r.Type == want.Type && r.Profile == want.Profile }) {
				t.Errorf("%s with the profile %s is missing", want.Type, want.Profile)
			}
			continue
		}
		seen++
		at := slices.IndexFunc(ours.Rest[0].Resource, func(r resource) bool { return r.Type == want.Type })
		got := ours.Rest[0].Resource[at]
		if got.Profile != want.Profile || got.Versioning != want.Versioning {
			t.Errorf("%s: profile %s, %s; the guide has %s, %s", want.Type, got.Profile, got.Versioning, want.Profile, want.Versioning)
		}
		for _, i := range want.Interaction {
			if !slices.Contains(got.Interaction, i) {
				t.Errorf("%s: the interaction %s is missing", want.Type, i.Code)
			}
		}
		for _, p := range want.SearchParam {
			if !slices.ContainsFunc(got.SearchParam, func(q searchParam) bool {
				return q.Name == p.Name && q.Type == p.Type && q.Definition == p.Definition
			}) {
				t.Errorf("%s?%s (%s, %s) is missing", want.Type, p.Name, p.Type, p.Definition)
			}
		}
		for _, i := range want.SearchInclude {
			if !slices.Contains(got.SearchInclude, i) {
				t.Errorf("%s: _include=%s is missing", want.Type, i)
			}
		}
		for _, i := range want.SearchRevInclude {
			if !slices.Contains(got.SearchRevInclude, i) {
				t.Errorf("%s: _revinclude=%s is missing", want.Type, i)
			}
		}
	}
	if seen != len(fhir.Types()) {
		t.Errorf("the guide lists %d of the types", seen)
	}
}

// TestListsHaveNoRepetition: the guide lists an include twice (CS-07).
func TestListsHaveNoRepetition(t *testing.T) {
	t.Attr("requirements", "CS-07")
	var s capabilityStatement
	if err := json.Unmarshal(CapabilityStatement(load(t), CapabilityOptions{BaseURL: "http://x/fhir"}), &s); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Rest[0].Resource {
		var names []string
		for _, p := range r.SearchParam {
			names = append(names, p.Name)
		}
		for _, list := range [][]string{r.SearchInclude, r.SearchRevInclude, names} {
			sorted := slices.Sorted(slices.Values(list))
			if len(slices.Compact(slices.Clone(sorted))) != len(list) {
				t.Errorf("%s: a name occurs twice in %v", r.Type, list)
			}
		}
	}
}
