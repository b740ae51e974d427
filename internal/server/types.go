package server

import (
	"net/http"

	"muster/internal/fhir"
)

// typeRoutes answers for everything that is not offered: the resource types,
// which are known but cannot be searched or read here, and all other places.
func (s *Server) typeRoutes() []route {
	var routes []route
	for _, t := range fhir.Types() {
		notHere := func(w http.ResponseWriter, r *http.Request) error {
			return refusal{kind: notOffered, text: t.String() + " cannot be searched or read here: use $export with a _typeFilter."}
		}
		methods := map[string]handler{http.MethodGet: notHere}
		about := "not offered: points to $export"
		routes = append(routes,
			route{path: s.basePath + "/" + t.String(), methods: methods, about: about},
			route{path: s.basePath + "/" + t.String() + "/{rest...}", methods: methods, about: about},
		)
	}
	return append(routes, route{path: "/", about: "everything else: 404", every: s.nowhere})
}

// nowhere answers for places that do not exist, whatever the method: 405 would
// say that something is there (RD-05).
func (s *Server) nowhere(_ http.ResponseWriter, r *http.Request) error {
	return refusal{kind: notOffered, text: "There is nothing at " + r.URL.Path + ". The FHIR API is at " + s.BaseURL + "; see " + s.BaseURL + "/metadata for what it offers."}
}
