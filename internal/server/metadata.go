package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"muster/internal/audit"
	"muster/internal/conformance"
	"muster/internal/fhir"
)

// metadataRoutes serves the CapabilityStatement, which is computed once: it does not
// change while the server runs (CS-01).
func (s *Server) metadataRoutes() []route {
	compact := conformance.CapabilityStatement(s.Registry, conformance.CapabilityOptions{
		BaseURL: s.BaseURL, Version: s.Version, Released: s.Released, Date: fhir.InstantOf(s.Now()),
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
			if err := s.checkJSON(r); err != nil {
				return err
			}
			body := compact
			if r.URL.Query().Get("_pretty") == "true" {
				body = pretty.Bytes()
			}
			w.Header().Set("Content-Type", fhirJSON)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
			return nil
		}},
	}}
}
