package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"muster/internal/fhir"
)

func TestMetadata(t *testing.T) {
	for _, c := range []struct {
		req, name, query, accept string
		lenient                  bool
		want                     int
	}{
		{"FM-03", "no Accept", "", "", false, 200},
		{"FM-01 FM-03", "FHIR JSON", "", "application/fhir+json; fhirVersion=4.0; q=0.5", false, 200},
		{"FM-03", "any", "", "text/html, */*;q=0.1", false, 200},
		{"FM-03", "any application", "", "application/*", false, 200},
		{"FM-01 FM-03", "plain JSON", "", "application/json", false, 406},
		{"FM-03", "plain JSON, lenient", "", "application/json", true, 200},
		{"FM-03", "FHIR JSON ruled out", "", "*/*, application/fhir+json;q=0", false, 406},
		{"FM-03", "FHIR JSON ruled out, lenient", "", "application/json, application/fhir+json;q=0", true, 406},
		{"FM-01 FM-02", "XML", "", "application/fhir+xml", false, 406},
		{"FM-04", "_format short", "?_format=json", "text/html", false, 200},
		{"FM-04", "_format long", "?_format=application/fhir%2Bjson", "", false, 200},
		{"FM-04", "_format with a plus", "?_format=application/fhir+json", "", false, 200},
		{"FM-04", "_format other", "?_format=xml", "", false, 406},
		{"FM-04", "_pretty", "?_pretty=true", "", false, 200},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := startServer(t, func(o *Config) { o.StrictAccept = !c.lenient })
			headers := []string{}
			if c.accept != "" {
				headers = append(headers, "Accept: "+c.accept)
			}
			r := u.request("GET", "/api/v1/fhir/metadata"+c.query, "", headers...)
			u.wantStatus(r, c.want, fhir.CodeNotSupported)
			if c.want != 200 {
				return
			}
			var got struct{ ResourceType, FHIRVersion string }
			if err := json.Unmarshal(r.body, &got); err != nil || got.ResourceType != "CapabilityStatement" || got.FHIRVersion != "4.0.1" {
				t.Errorf("%+v, %v", got, err)
			}
			if got := r.Header.Get("Content-Type"); got != fhirJSON {
				t.Errorf("Content-Type: %s", got)
			}
			if pretty := bytes.Contains(r.body, []byte("\n  ")); pretty != (c.name == "_pretty") {
				t.Errorf("indented: %v", pretty)
			}
		})
	}
	u := startServer(t)
	u.wantStatus(u.request("GET", "/api/v1/fhir/metadata?_format=json&_format=xml", ""), 400, fhir.CodeInvalid)
	u.wantStatus(u.request("PUT", "/api/v1/fhir/metadata", "{}"), 405, fhir.CodeNotSupported)
}
