package server

import (
	"io"
	"net/http"
)

// healthRoutes are for the machines that watch the server. They stand outside
// of the API: no client of the directory needs them.
func (s *Server) healthRoutes() []route {
	return []route{{
		path:  "/healthz",
		about: "whether the program runs",
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			return writeOK(w)
		}},
	}, {
		path:  "/readyz",
		about: "whether requests can be served",
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			if s.Ready != nil {
				if err := s.Ready(r.Context()); err != nil {
					return refusal{kind: notNow, text: "The server is not ready: try again later.", cause: err}
				}
			}
			return writeOK(w)
		}},
	}}
}

func writeOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", "3")
	_, _ = io.WriteString(w, "ok\n")
	return nil
}
