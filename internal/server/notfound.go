package server

import (
	"cmp"
	"net/http"
)

// unrouted is the path of the route for all paths that no other route serves.
const unrouted = "/"

// notFoundRoute is the route for all other paths.
func (s *Server) notFoundRoute() route {
	return route{path: unrouted, about: "all other paths: 404", fallback: s.notFound}
}

// notFound answers requests with any method for a path that does not exist: 405 would mean
// that the path exists (RD-05).
func (s *Server) notFound(_ http.ResponseWriter, r *http.Request) error {
	return refusal{kind: pathNotFound, text: "There is nothing at " + cmp.Or(r.URL.Path, r.RequestURI) + ". The FHIR API is at " + s.BaseURL + "; see " + s.BaseURL + "/metadata for what it offers."}
}
