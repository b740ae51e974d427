package server

import (
	"cmp"
	"net/http"
)

// elsewhere is the route of all other places.
func (s *Server) elsewhere() route {
	return route{path: "/", about: "everything else: 404", every: s.nowhere}
}

// nowhere answers for places that do not exist, whatever the method: 405 would
// say that something is there (RD-05).
func (s *Server) nowhere(_ http.ResponseWriter, r *http.Request) error {
	return refusal{kind: notOffered, text: "There is nothing at " + cmp.Or(r.URL.Path, r.RequestURI) + ". The FHIR API is at " + s.BaseURL + "; see " + s.BaseURL + "/metadata for what it offers."}
}
