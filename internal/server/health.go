package server

import (
	"context"
	"io"
	"net/http"
	"net/netip"

	"muster/internal/audit"
)

var healthInteractions = map[string]audit.Interaction{http.MethodGet: audit.Health}

// healthRoutes are the routes for monitoring. They are outside of the FHIR API, and no
// client of the directory needs them.
func (s *Server) healthRoutes() []route {
	return []route{{
		path:         "/healthz",
		interactions: healthInteractions,
		unlimited:    true,
		anyHost:      true,
		about:        "liveness: whether the program runs",
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			return writeOK(w)
		}},
	}, {
		path:         "/readyz",
		interactions: healthInteractions,
		unlimited:    true,
		anyHost:      true,
		about:        "readiness: whether requests can be served",
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			if s.draining.Load() {
				return refusal{kind: unavailable, text: "The server is shutting down: send requests to another server, or try again later."}
			}
			if s.Ready != nil {
				if err := s.checkReady(r.Context()); err != nil {
					return refusal{kind: unavailable, text: "The server is not ready: try again later.", cause: err}
				}
			}
			return writeOK(w)
		}},
	}}
}

// checkReady calls Ready. Concurrent requests share one call: they have no rate limit, and Ready
// reads the database.
func (s *Server) checkReady(ctx context.Context) error {
	checked := s.readiness.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		return nil, s.Ready(ctx)
	})
	select {
	case result := <-checked:
		return result.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// metricsRoutes serves the metrics to clients on this machine only, since they show how
// busy the directory is. Without Config.Metrics there is no route, and neither behind a
// proxy, where every request appears to be local.
func (s *Server) metricsRoutes() []route {
	if s.Metrics == nil || s.BehindProxy {
		return nil
	}
	return []route{{
		path:         "/metrics",
		about:        "metrics for Prometheus, for this machine only",
		interactions: map[string]audit.Interaction{http.MethodGet: audit.Metrics},
		unlimited:    true,
		methods: map[string]handler{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			if address, err := netip.ParseAddr(remoteAddress(r)); err != nil || !address.Unmap().IsLoopback() {
				return s.notFound(w, r)
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
