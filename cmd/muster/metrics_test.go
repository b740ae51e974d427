package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMetricsListener checks which clients of the metrics listener get metrics and
// profiles.
func TestMetricsListener(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "muster_up 1\n") })
	flags := metricsFlags{MetricsListen: "metrics.example.org:9090"}
	handler := flags.newMetricsServer(metrics, slog.New(slog.DiscardHandler)).Handler
	for _, host := range []string{"localhost:9090", "127.0.0.1", "[::1]:9090", "Metrics.Example.Org:9090", "metrics.example.org.", "", "evil.example", "evil.example:9090"} {
		for remote, path := range map[string]string{"127.0.0.1:1": "/debug/pprof/", "[::1]:1": "/metrics", "192.0.2.7:1": "/metrics"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr, r.Host = remote, host
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			want := http.StatusOK
			if strings.HasPrefix(host, "evil") && remote != "192.0.2.7:1" {
				want = http.StatusMisdirectedRequest
			}
			if w.Code != want {
				t.Errorf("%s for the host %q from %s: %d, want %d", path, host, remote, w.Code, want)
			}
		}
	}
	for _, test := range []struct {
		name, path, remote string
		header             string // of a proxy
		want               int
		body               string
	}{
		{"metrics", "/metrics", "127.0.0.1:1", "", 200, "muster_up 1"},
		{"metrics for another machine", "/metrics", "192.0.2.7:1", "", 200, "muster_up 1"},
		{"the list of profiles", "/debug/pprof/", "127.0.0.1:1", "", 200, "goroutine"},
		{"a profile", "/debug/pprof/goroutine?debug=1", "[::1]:1", "", 200, "goroutine profile:"},
		{"an IPv4-mapped address", "/debug/pprof/", "[::ffff:127.0.0.1]:1", "", 200, "goroutine"},
		{"profiles for another machine", "/debug/pprof/", "192.0.2.7:1", "", 404, "not found"},
		{"a profile for another machine", "/debug/pprof/heap", "[2001:db8::1]:1", "", 404, "not found"},
		{"profiles through a proxy", "/debug/pprof/", "127.0.0.1:1", "X-Forwarded-For", 404, "not found"},
		{"profiles through another proxy", "/debug/pprof/", "127.0.0.1:1", "Forwarded", 404, "not found"},
		{"the command line, which may contain a password", "/debug/pprof/cmdline", "127.0.0.1:1", "", 404, "not found"},
		{"another path", "/", "127.0.0.1:1", "", 404, "not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, test.path, nil)
			r.RemoteAddr, r.Host = test.remote, "localhost:9090"
			if test.header != "" {
				r.Header.Set(test.header, "192.0.2.7")
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.want || !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("status %d, want %d with %q:\n%.300s", w.Code, test.want, test.body, w.Body)
			}
		})
	}
}
