package compare

import (
	"encoding/json"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/query"
	"muster/internal/searchtest"

	"github.com/valyala/fastjson"
	"pgregory.net/rapid"
)

// TestSuppressionIsReadAlike checks that the index and the evaluator agree on which resources
// are suppressed, also for malformed extensions.
func TestSuppressionIsReadAlike(t *testing.T) {
	t.Attr("req", "SU-01 SU-03 SU-10")
	stateful := []fhir.Type{fhir.Organization, fhir.Location, fhir.Endpoint, fhir.HealthcareService, fhir.Practitioner, fhir.PractitionerRole}
	values := []any{nil, true, false, "false", "true", 0, []any{false}, map[string]any{}}
	withValue := func(t *rapid.T, extension map[string]any) map[string]any {
		name := rapid.SampledFrom([]string{"valueBoolean", "valueBoolean", "valueBoolean", "valueString"}).Draw(t, "name")
		if value := rapid.SampledFrom(values).Draw(t, "value"); value != nil {
			extension[name] = value
		}
		return extension
	}
	part := rapid.Custom(func(t *rapid.T) any {
		return withValue(t, map[string]any{"url": rapid.SampledFrom([]string{"includeSelf", "includeSelf", "suppressedBy", "other"}).Draw(t, "part")})
	})
	extension := rapid.Custom(func(t *rapid.T) any {
		e := map[string]any{"url": rapid.SampledFrom([]string{index.SuppressedURL, index.SuppressedURL, index.SuppressedOldURL, "http://x/other"}).Draw(t, "url")}
		if rapid.Bool().Draw(t, "parts") {
			e["extension"] = rapid.SliceOfN(part, 0, 3).Draw(t, "list")
		}
		return withValue(t, e)
	})
	rapid.Check(t, func(t *rapid.T) {
		rt := rapid.SampledFrom(stateful).Draw(t, "type")
		line, err := json.Marshal(map[string]any{"resourceType": rt.String(), "id": "a", "extension": rapid.SliceOfN(extension, 0, 2).Draw(t, "extensions")})
		if err != nil {
			t.Fatal(err)
		}
		d := searchtest.NewDirectory(Base, searchtest.NewZone(time.UTC))
		if err := d.Add(line, 1); err != nil {
			t.Fatal(err)
		}
		q, err := query.Parse(rt.String() + "?_id=a")
		if err != nil {
			t.Fatal(err)
		}
		found, err := d.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		if hidden := len(found.IDs) == 0; hidden != index.IsSuppressed(rt, fastjson.MustParseBytes(line)) {
			t.Fatalf("%s: hidden by the evaluator: %v; the index disagrees", line, hidden)
		}
	})
}
