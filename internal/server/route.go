package server

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"muster/internal/audit"
)

// handler answers a request or returns an error for outcome.go. After the first
// byte of an answer it returns nil.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is a path and what may be done there.
type route struct {
	path    string             // pattern of http.ServeMux, without method and host
	about   string             // one line for people; empty where nothing is offered
	methods map[string]handler // GET stands for HEAD too
	every   handler            // for all other methods; without it they get 405
	// before sets the headers that every answer to the route carries, errors
	// included. Optional.
	before func(w http.ResponseWriter, r *http.Request)
	// as names what the methods do, for the audit log; what is not named is Other.
	as map[string]audit.Interaction
	// free marks routes for the machines that watch the server, which the limits of
	// clients leave alone.
	free bool
	// stream marks answers that may take as long as they make progress.
	stream bool
}

// RouteInfo describes a route for a list.
type RouteInfo struct {
	Methods string // comma list, in the order of an Allow header
	Path    string
	About   string
}

// Routes lists the routes of the server in the order of their owners, without
// those that only tell that something is not offered.
func (s *Server) Routes() []RouteInfo {
	list := make([]RouteInfo, 0, len(s.routes))
	for _, r := range s.routes {
		if r.about != "" {
			list = append(list, RouteInfo{Methods: r.allow(), Path: r.path, About: r.about})
		}
	}
	return list
}

func (s *Server) mount(routes []route) { s.routes = append(s.routes, routes...) }

// allow is the value of an Allow header: HEAD goes with GET.
func (r route) allow() string {
	if r.every != nil && len(r.methods) == 0 {
		return "every method"
	}
	methods := slices.Collect(maps.Keys(r.methods))
	if r.methods[http.MethodGet] != nil {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// endpoint runs the handler for the method and writes the error that it returns.
func (s *Server) endpoint(route route) http.Handler {
	allow := route.allow()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		x.route, x.event.Interaction = route.path, cmp.Or(route.as[asGetMethod(r.Method)], audit.Other)
		if route.before != nil {
			route.before(w, r)
		}
		if err := s.limitTime(w, r, route, func(r *http.Request) error {
			if !route.free {
				if err := s.allow(r); err != nil {
					return err
				}
			}
			if x.refused != nil {
				return x.refused
			}
			if serve := route.methods[asGetMethod(r.Method)]; serve != nil {
				if route.stream {
					return s.stream(w, r, serve)
				}
				return serve(w, r)
			}
			if route.every != nil {
				return route.every(w, r)
			}
			return methodNotAllowed(r, allow)
		}); err != nil {
			s.writeOutcome(w, r, err)
		}
	})
}

// asGetMethod is the method that decides: HEAD is GET without a body.
func asGetMethod(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// stream runs a handler whose answer takes as long as it makes progress.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, serve handler) error {
	if err := dropBody(w, r, s.Limits.Body); err != nil {
		return err
	}
	ended, err := s.startDownload(r)
	if err != nil {
		return err
	}
	defer ended()
	return serve(w, r)
}

func methodNotAllowed(r *http.Request, allow string) error {
	return refusal{
		kind:   wrongMethod,
		text:   r.Method + " is not supported at " + r.URL.Path + ": use " + allow + ".",
		header: http.Header{"Allow": {allow}},
	}
}
