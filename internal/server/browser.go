package server

import (
	"net/http"
	"slices"
	"strings"
)

// setSecurityHeaders sets the headers by which browsers and caches handle an answer safely
// (HD-04). The answers are data: no browser runs, embeds or guesses anything of them.
func (s *Server) setSecurityHeaders(h http.Header, r *http.Request) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer") // the URLs of jobs and searches
	if strings.HasPrefix(s.BaseURL, "https:") {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	s.allowOrigin(h, r)
}

// The headers that pages of other origins may send and read.
const (
	corsMethods  = "GET, HEAD, POST, DELETE"
	corsRequest  = "Accept, Authorization, Content-Type, If-Match, If-None-Match, If-Range, Prefer, Range, X-Request-ID"
	corsResponse = "Content-Location, Content-Range, ETag, Expires, Last-Modified, Preference-Applied, Retry-After, WWW-Authenticate, X-Progress, X-Request-ID"
	corsMaxAge   = "7200" // seconds
)

// allowOrigin lets a page of an origin of Config.Origins read the answer. Browsers send no
// credentials of their own with its requests, since the API has no cookies.
func (s *Server) allowOrigin(h http.Header, r *http.Request) {
	if len(s.Origins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && s.allowsOrigin(origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", corsResponse)
	}
}

// allowsOrigin reports whether pages of an origin may use the API.
func (s *Server) allowsOrigin(origin string) bool {
	return slices.Contains(s.Origins, "*") || slices.ContainsFunc(s.Origins, func(o string) bool { return strings.EqualFold(o, origin) })
}

// isPreflight reports whether a browser asks with r whether a page may send a request.
func (s *Server) isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" && s.allowsOrigin(r.Header.Get("Origin"))
}

// answerPreflight says which requests pages may send. Whether one succeeds does not depend on it.
func (s *Server) answerPreflight(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkRate(r); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsRequest)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
