package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"muster/internal/audit"
	"muster/internal/conformance"
	"muster/internal/fhir"
)

// metadataRoutes serves the CapabilityStatement, which is computed once: it does not
// change while the server runs (CS-01).
func (s *Server) metadataRoutes() []route {
	compact := conformance.CapabilityStatement(s.Registry, conformance.CapabilityOptions{
		BaseURL: s.BaseURL, Version: s.Version, Released: s.Released, Date: fhir.InstantOf(s.Now()), Contact: s.Contact, Rules: s.Rules,
		Access: conformance.Access{Tokens: s.Authenticator != nil, TokenURL: s.TokenURL, CORS: len(s.Origins) > 0},
	})
	var pretty bytes.Buffer
	if json.Indent(&pretty, compact, "", "  ") != nil {
		pretty.Reset()
		pretty.Write(compact)
	}
	return []route{{
		path:         s.basePath + "/metadata",
		about:        "read the CapabilityStatement",
		interactions: map[string]audit.Interaction{http.MethodGet: audit.Capabilities},
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			indent, err := readMetadataQuery(r)
			if err != nil {
				return err
			}
			if err := checkAccepts(r, true); err != nil { // FM-05
				return err
			}
			body := compact
			if indent {
				body = pretty.Bytes()
			}
			w.Header().Set("Content-Type", fhirJSON)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
			return nil
		}},
	}}
}

// readMetadataQuery reads the parameters of a request for the CapabilityStatement, and reports
// whether it is to be indented. Unknown parameters are rejected, as in searches. Its caller
// reads _format.
func readMetadataQuery(r *http.Request) (indent bool, err error) {
	refuse := func(code fhir.Code, format string, args ...any) (bool, error) {
		return false, fhir.Issue{Code: code, Diagnostics: fmt.Sprintf(format, args...)}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(fhir.CodeInvalid, "The query of the URL is malformed: write name=value, with %%25 for a percent sign and %%3B for a semicolon.")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			return refuse(fhir.CodeInvalid, "The parameter %s is repeated: give it once.", name)
		}
		switch value := values[name][0]; name {
		case "_format":
		case "_pretty":
			if indent = value == "true"; value != "true" && value != "false" {
				return refuse(fhir.CodeInvalid, "_pretty takes true or false, not %q.", value)
			}
		case "mode":
			switch value {
			case "full":
			case "normative", "terminology":
				return refuse(fhir.CodeNotSupported, "mode=%s is not supported: use mode=full, or omit it.", value)
			default:
				return refuse(fhir.CodeInvalid, "mode takes full, normative or terminology, not %q: use mode=full, or omit it.", value)
			}
		default:
			return refuse(fhir.CodeNotSupported, "The CapabilityStatement has no parameter %q: use mode, _format and _pretty.", name)
		}
	}
	return indent, nil
}
