package index_test

import (
	"encoding/json"
	"slices"
	"testing"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
	"pgregory.net/rapid"
)

// TestStateAgreesWithPolicy holds the state parameters to the visibility that the
// policy reads from the same resource: what is visible is found by active=true or
// status=active and by suppressed=false, and nothing else is.
func TestStateAgreesWithPolicy(t *testing.T) {
	reg, extractor := load(t)
	stateful := slices.DeleteFunc(fhir.Types(), func(t fhir.Type) bool { return t == fhir.Provenance })
	rapid.Check(t, func(t *rapid.T) {
		rt := rapid.SampledFrom(stateful).Draw(t, "type")
		resource := map[string]any{"resourceType": rt.String()}
		element, in := "active", "true"
		if rt == fhir.Location || rt == fhir.Endpoint {
			element, in = "status", "active"
			if status := rapid.SampledFrom([]string{"", "active", "inactive", "suspended", "off"}).Draw(t, "status"); status != "" {
				resource["status"] = status
			}
		} else if active := rapid.SampledFrom([]any{nil, true, false}).Draw(t, "active"); active != nil {
			resource["active"] = active
		}
		resource["extension"] = rapid.SliceOfN(rapid.Custom(suppression), 0, 2).Draw(t, "extensions")
		text, err := json.Marshal(resource)
		if err != nil {
			t.Fatal(err)
		}
		v := fastjson.MustParseBytes(text)
		state := policy.OwnState(rt, v)
		entries := extractor.Extract(nil, rt, v)
		has := func(code, value string) bool {
			p, _ := reg.Param(rt, code)
			return slices.Contains(entries, index.Entry{Kind: index.Token, Param: p.ID, Code: value})
		}
		if has(element, in) != (state&index.Inactive == 0) {
			t.Fatalf("%s: %s=%s finds it: %v, but the policy says %b", text, element, in, has(element, in), state)
		}
		if has("suppressed", "false") != (state&index.Suppressed == 0) || has("suppressed", "true") == has("suppressed", "false") {
			t.Fatalf("%s: suppressed=false finds it: %v, =true: %v, but the policy says %b", text, has("suppressed", "false"), has("suppressed", "true"), state)
		}
	})
}

// suppression draws a root extension that may suppress, in the new or the old form,
// well-formed or not.
func suppression(t *rapid.T) map[string]any {
	url := rapid.SampledFrom([]string{policy.SuppressedURL, policy.SuppressedOldURL, "http://x/other"}).Draw(t, "url")
	extension := map[string]any{"url": url}
	if url == policy.SuppressedOldURL {
		say(t, extension)
		return extension
	}
	var parts []any
	if rapid.Bool().Draw(t, "initiator") {
		parts = append(parts, map[string]any{"url": "suppressedBy", "valueCodeableConcept": map[string]any{
			"coding": []any{map[string]any{"system": policy.ResponsibleParty, "code": policy.OrganisationInitiated}}}})
	}
	for range rapid.IntRange(0, 2).Draw(t, "includeSelf") {
		part := map[string]any{"url": "includeSelf"}
		say(t, part)
		parts = append(parts, part)
	}
	extension["extension"] = parts
	return extension
}

// say puts a boolean into an extension, or something that is none.
func say(t *rapid.T, extension map[string]any) {
	if said := rapid.SampledFrom([]any{nil, true, false, "false", 0}).Draw(t, "said"); said != nil {
		extension["valueBoolean"] = said
	}
}
