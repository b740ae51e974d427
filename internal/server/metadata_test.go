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
		{"FM-05", "plain JSON", "", "application/json", false, 200},
		{"FM-05", "plain JSON by _format", "?_format=application/json", "text/html", false, 200},
		{"FM-05", "this version", "", "application/fhir+json;fhirVersion=4.0", false, 200},
		{"FM-05", "this version in quotes", "", `application/fhir+json; fhirversion="4.0"`, false, 200},
		{"FM-05", "another version", "", "application/fhir+json; fhirVersion=3.0", false, 406},
		{"FM-05", "another version of plain JSON", "", "application/json; fhirVersion=5.0", false, 406},
		{"FM-05", "another version first", "", "application/fhir+json; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0; q=0.1", false, 200},
		{"FM-05", "another version, or any", "", "application/fhir+json; fhirVersion=5.0, */*;q=0.1", false, 200},
		{"FM-05", "another version by _format", "?_format=application/fhir%2Bjson%3B%20fhirVersion=3.0", "", false, 406},
		{"FM-05 FM-04", "this version by _format", "?_format=application/fhir%2Bjson%3B%20fhirVersion=4.0", "", false, 200},
		{"FM-03", "plain JSON, lenient", "", "application/json", true, 200},
		{"FM-03", "FHIR JSON ruled out", "", "*/*, application/fhir+json;q=0", false, 406},
		{"FM-03", "FHIR JSON ruled out, lenient", "", "application/json, application/fhir+json;q=0", true, 406},
		{"FM-01 FM-02", "XML", "", "application/fhir+xml", false, 406},
		{"FM-04", "_format short", "?_format=json", "text/html", false, 200},
		{"FM-04", "_format long", "?_format=application/fhir%2Bjson", "", false, 200},
		{"FM-04", "_format with a plus", "?_format=application/fhir+json", "", false, 200},
		{"FM-04", "_format other", "?_format=xml", "", false, 406},
		{"FM-04", "two in _format", "?_format=application/fhir%2Bjson,xml", "", false, 406},
		{"FM-04", "empty _format", "?_format=", "", false, 200},
		{"FM-04", "_format with a version", "?_format=application/fhir%2Bjson%3BfhirVersion=4.0", "", false, 200},
		{"FM-04", "_pretty", "?_pretty=true", "", false, 200},
		{"FM-04", "_pretty off", "?_pretty=false", "", false, 200},
		{"", "mode", "?mode=full", "", false, 200},
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
	for _, c := range []struct {
		query string
		code  fhir.Code
		says  string
	}{
		{"?mode=normative", fhir.CodeNotSupported, "mode=full"},
		{"?mode=terminology", fhir.CodeNotSupported, "mode=full"},
		{"?mode=x%20y", fhir.CodeInvalid, `"x y"`},
		{"?mode=", fhir.CodeInvalid, `""`},
		{"?mode=full&mode=full", fhir.CodeInvalid, "repeated"},
		{"?_pretty=yes", fhir.CodeInvalid, "true or false"},
		{"?_summary=true", fhir.CodeNotSupported, `"_summary"`},
		{"?name", fhir.CodeNotSupported, `"name"`},
		{"?_format=json&a%20b=1", fhir.CodeNotSupported, `"a b"`},
		{"?_pretty=%25zz%zz", fhir.CodeInvalid, "malformed"},
	} {
		r := u.request("GET", "/api/v1/fhir/metadata"+c.query, "")
		u.wantStatus(r, 400, c.code)
		if issues := u.outcome(r); !strings.Contains(issues[0].Diagnostics, c.says) {
			t.Errorf("%s: %q does not say %q", c.query, issues[0].Diagnostics, c.says)
		}
	}
}
