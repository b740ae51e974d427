package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/searchset"
)

// searchRoutes are search and read for each type, and the pages of a search. Interactions
// that FHIR defines at these paths and the server does not support are rejected with an
// explanation (SR-02).
func (s *Server) searchRoutes() []route {
	var routes []route
	for _, t := range fhir.Types() {
		routes = append(routes, s.typeRoutes(t)...)
	}
	pages := route{
		path: s.basePath + "/{$}", about: "follow the pages of a search", needs: auth.Search,
		methods:      map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error { return s.page(w, r, 0) }},
		interactions: map[string]audit.Interaction{http.MethodGet: audit.SearchType},
	}
	routes = append(routes, pages, s.unsupportedInteraction(s.basePath+"/_history"), s.unsupportedInteraction(s.basePath+"/_search"))
	if s.basePath != "" {
		pages.path, pages.about = s.basePath, ""
		routes = append(routes, pages)
	}
	return routes
}

func (s *Server) typeRoutes(t fhir.Type) []route {
	path := s.basePath + "/" + t.String()
	search := func(w http.ResponseWriter, r *http.Request) error { return s.search(w, r, t) }
	read := func(w http.ResponseWriter, r *http.Request) error { return s.read(w, r, t) }
	other := func(_ http.ResponseWriter, r *http.Request) error {
		if strings.HasPrefix(r.PathValue("id"), "$") {
			return s.notFound(nil, r)
		}
		return methodNotAllowed(r, "GET, HEAD")
	}
	return []route{
		{path: path, about: "search " + t.String(), needs: auth.Search, methods: map[string]handler{http.MethodGet: search},
			interactions: map[string]audit.Interaction{http.MethodGet: audit.SearchType}},
		{path: path + "/{id}", about: "read one " + t.String(), needs: auth.Read, methods: map[string]handler{http.MethodGet: read}, fallback: other,
			interactions: map[string]audit.Interaction{http.MethodGet: audit.Read}},
		s.unsupportedInteraction(path + "/_search"),
		s.unsupportedInteraction(path + "/_history"),
		s.unsupportedInteraction(path + "/{id}/_history"),
		s.unsupportedInteraction(path + "/{id}/_history/{version}"),
		{path: path + "/{rest...}", fallback: s.notFound},
	}
}

// unsupportedInteraction is the route of an interaction that FHIR defines and the server
// does not support with any method.
func (s *Server) unsupportedInteraction(path string) route {
	return route{path: path, fallback: func(_ http.ResponseWriter, r *http.Request) error {
		return refusal{
			kind:   methodNotSupported,
			text:   fmt.Sprintf("%s is not supported: search with GET and read the current version; see %s/metadata for the supported interactions.", r.URL.Path, s.BaseURL),
			header: http.Header{"Allow": {""}},
		}
	}}
}

// search answers GET [base]/Type?… (SR-01).
func (s *Server) search(w http.ResponseWriter, r *http.Request, t fhir.Type) error {
	if searchset.IsPage(r.URL.RawQuery) {
		return s.page(w, r, t)
	}
	return s.writeBundle(w, r, func() (searchset.Answer, error) { return s.Searches.Search(r.Context(), t, r.URL.RawQuery) })
}

// page answers GET [base]/?_getpages=… and GET [base]/Type?_getpages=… (PG-01). of is the
// type, 0 without one.
func (s *Server) page(w http.ResponseWriter, r *http.Request, of fhir.Type) error {
	return s.writeBundle(w, r, func() (searchset.Answer, error) { return s.Searches.Page(r.Context(), of, r.URL.RawQuery) })
}

// writeBundle runs a search when the client has a free slot, and writes its Bundle.
func (s *Server) writeBundle(w http.ResponseWriter, r *http.Request, search func() (searchset.Answer, error)) error {
	noteQuery(r, r.URL.RawQuery)
	if err := s.checkJSON(r); err != nil {
		return err
	}
	var result searchset.Answer
	err := s.withSearchSlot(r, func() (err error) {
		result, err = search()
		return err
	})
	if err != nil {
		return err
	}
	noteResources(r, int64(result.Resources))
	writeFHIR(w, result.Body)
	return nil
}

// read answers GET [base]/Type/id (RD-01 to RD-04).
func (s *Server) read(w http.ResponseWriter, r *http.Request, t fhir.Type) error {
	id := r.PathValue("id")
	if strings.HasPrefix(id, "$") {
		return s.notFound(w, r)
	}
	noteQuery(r, r.URL.RawQuery)
	if err := s.checkJSON(r); err != nil {
		return err
	}
	resource, err := s.Searches.Read(r.Context(), t, id, r.URL.RawQuery)
	if err != nil {
		return err
	}
	noteResources(r, 1)
	w.Header().Set("ETag", `W/"`+strconv.FormatInt(resource.Row.Version, 10)+`"`)
	w.Header().Set("Last-Modified", resource.Row.LastUpdated.Time().Format(http.TimeFormat))
	writeFHIR(w, resource.Body)
	return nil
}

func writeFHIR(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", fhirJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
