package server

import (
	"io"
	"net/http"
	"net/netip"

	"muster/internal/audit"
)

var watching = map[string]audit.Interaction{http.MethodGet: audit.Health}

// healthRoutes are for the machines that watch the server. They stand outside
// of the API: no client of the directory needs them.
func (s *Server) healthRoutes() []route {
	return []route{{
		path:  "/healthz",
		as:    watching,
		free:  true,
		about: "whether the program runs",
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			return writeOK(w)
		}},
	}, {
		path:  "/readyz",
		as:    watching,
		free:  true,
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

// metricsRoutes serve the numbers of this server to this machine only: they say how
// busy the directory is, and whom that concerns is not known. Without a Config.Metrics, and
// behind a proxy, from where everything seems to come from this machine, there are none.
func (s *Server) metricsRoutes() []route {
	if s.Metrics == nil || s.BehindProxy {
		return nil
	}
	return []route{{
		path:  "/metrics",
		about: "numbers for Prometheus, for this machine only",
		as:    map[string]audit.Interaction{http.MethodGet: audit.Metrics},
		free:  true,
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			if address, err := netip.ParseAddr(remoteOf(r)); err != nil || !address.Unmap().IsLoopback() {
				return s.nowhere(w, r)
			}
			s.Metrics.ServeHTTP(w, r)
			return nil
		}},
	}}
}

func writeOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", "3")
	_, _ = io.WriteString(w, "ok\n")
	return nil
}
