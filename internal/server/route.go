package server

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/share"
)

// handler answers a request or returns an error for outcome.go. After the first byte of a
// response it returns nil.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is a path with the methods that it supports.
type route struct {
	path     string             // pattern of http.ServeMux, without method and host
	about    string             // one line for the list of routes; empty if it is not listed
	methods  map[string]handler // GET includes HEAD
	fallback handler            // for all other methods; nil answers 405
	// before sets the headers that all responses of the route have, errors included.
	// Optional.
	before func(w http.ResponseWriter, r *http.Request)
	// interactions names the interaction of each method for the audit log. Defaults to
	// Other.
	interactions map[string]audit.Interaction
	// needs is the interaction that the token of a request must grant. Defaults to Open.
	needs auth.Interaction
	// unlimited exempts the route from the limits of clients. It is set for monitoring.
	unlimited bool
	// anyHost exempts the route from the check of the host. It is set for health checks, which
	// monitoring systems send to addresses and names of their own.
	anyHost bool
	// stream marks responses that may take any time as long as they make progress.
	stream bool
}

// RouteInfo describes a route.
type RouteInfo struct {
	Methods string // comma-separated, as in an Allow header
	Path    string
	About   string
}

// Routes lists the routes of the server, without those that only reject requests.
func (s *Server) Routes() []RouteInfo {
	list := make([]RouteInfo, 0, len(s.routes))
	for _, r := range s.routes {
		if r.about != "" {
			list = append(list, RouteInfo{Methods: r.allowedMethods(), Path: r.path, About: r.about})
		}
	}
	return list
}

func (s *Server) mount(routes []route) { s.routes = append(s.routes, routes...) }

// allowedMethods returns the value of an Allow header, where GET includes HEAD.
func (r route) allowedMethods() string {
	if r.fallback != nil && len(r.methods) == 0 {
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
	allow := route.allowedMethods()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := stateOf(r)
		x.route, x.event.Interaction = route.path, cmp.Or(route.interactions[effectiveMethod(r.Method)], audit.Other)
		if route.before != nil {
			route.before(w, r)
		}
		serve := func(r *http.Request) error {
			if x.refused != nil {
				return x.refused
			}
			if handle := route.methods[effectiveMethod(r.Method)]; handle != nil {
				if route.stream {
					return s.stream(w, r, handle)
				}
				return handle(w, r)
			}
			if route.fallback != nil {
				return route.fallback(w, r)
			}
			return methodNotAllowed(r, allow)
		}
		if err := s.withDeadline(w, r, route, func(r *http.Request) error {
			if !route.anyHost {
				if err := s.checkHost(r); err != nil {
					return err
				}
			}
			if route.unlimited {
				return serve(r)
			}
			if s.isPreflight(r) {
				return s.answerPreflight(w, r)
			}
			r, err := s.identify(r, route.needs)
			if err != nil {
				return err
			}
			err = s.withMemory(w, r, serve)
			if err != nil && errors.Is(r.Context().Err(), context.Canceled) {
				s.clients.charge(stateOf(r).from, abandonedCost)
			}
			return err
		}); err != nil {
			s.writeOutcome(w, r, err)
		}
	})
}

// effectiveMethod returns the method whose handler serves a request: GET for HEAD.
func effectiveMethod(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// stream runs the handler of a response that may take any time as long as it makes
// progress.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, serve handler) error {
	if err := discardBody(w, r, s.Limits.Body); err != nil {
		return err
	}
	done, err := s.startDownload(w, r)
	if err != nil {
		return err
	}
	defer done()
	if err := share.Reserve(r.Context(), downloadBytes); err != nil {
		return err
	}
	return serve(w, r)
}

func methodNotAllowed(r *http.Request, allow string) error {
	return refusal{
		kind:   methodNotSupported,
		text:   r.Method + " is not supported at " + r.URL.Path + ": use " + allow + ".",
		header: http.Header{"Allow": {allow}},
	}
}
