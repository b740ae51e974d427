package server

import (
	"cmp"
	"net/http"

	"muster/internal/audit"
	"muster/internal/fhir"
)

// typeRoutes answers for everything that is not offered: the resource types,
// which are known but cannot be searched or read here, and all other places.
func (s *Server) typeRoutes() []route {
	var routes []route
	for _, t := range fhir.Types() {
		notHere := func(w http.ResponseWriter, r *http.Request) error {
			noteQuery(r, r.URL.RawQuery)
			return refusal{kind: notOffered, text: t.String() + " cannot be searched or read here: use $export with a _typeFilter."}
		}
		methods := map[string]handler{http.MethodGet: notHere}
		routes = append(routes,
			route{path: s.basePath + "/" + t.String(), methods: methods, as: map[string]audit.Interaction{http.MethodGet: audit.SearchType}},
			route{path: s.basePath + "/" + t.String() + "/{rest...}", methods: methods, as: map[string]audit.Interaction{http.MethodGet: audit.Read}},
		)
	}
	return append(routes, s.elsewhere())
}

// elsewhere is the route of all other places.
func (s *Server) elsewhere() route {
	return route{path: "/", about: "everything else: 404", every: s.nowhere}
}

// nowhere answers for places that do not exist, whatever the method: 405 would
// say that something is there (RD-05).
func (s *Server) nowhere(_ http.ResponseWriter, r *http.Request) error {
	return refusal{kind: notOffered, text: "There is nothing at " + cmp.Or(r.URL.Path, r.RequestURI) + ". The FHIR API is at " + s.BaseURL + "; see " + s.BaseURL + "/metadata for what it offers."}
}
