package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"
)

// metricsFlags are the options of the metrics listener.
type metricsFlags struct {
	MetricsListen string `placeholder:"HOST:PORT" help:"Address of a listener for /metrics, open to every client that can connect, and for /debug/pprof, open to this machine only. By default /metrics is on the main address, for this machine only."`
}

// Validate checks the address.
func (f *metricsFlags) Validate() error {
	if f.MetricsListen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(f.MetricsListen); err != nil {
		return fmt.Errorf("--metrics-listen %s: write HOST:PORT, such as localhost:9090", f.MetricsListen)
	}
	return nil
}

// listen opens the metrics listener. It returns nil without an address.
func (f *metricsFlags) listen(ctx context.Context) (net.Listener, error) {
	if f.MetricsListen == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another address with --metrics-listen", f.MetricsListen, err)
	}
	return listener, nil
}

// newMetricsServer returns the server of the metrics listener.
func newMetricsServer(metrics http.Handler, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /debug/pprof/", localOnly(profiles()))
	return &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// profiles serves the profiles of package pprof. It does not serve /debug/pprof/cmdline,
// since a command line may contain the password of a database.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// isForwarded reports whether a request has a header field that proxies add.
func isForwarded(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// localOnly answers 404 to clients on other machines, and to requests that a proxy
// forwards.
func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !address.Addr().Unmap().IsLoopback() || isForwarded(r) {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
