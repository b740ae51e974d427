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

	"muster/internal/server"
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
	return checkListen("--metrics-listen", f.MetricsListen)
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
func (f *metricsFlags) newMetricsServer(metrics http.Handler, log *slog.Logger) *http.Server {
	listen, _, _ := net.SplitHostPort(f.MetricsListen)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /debug/pprof/", localOnly(profiles()))
	return &http.Server{
		Handler: localHost(listen, mux), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(server.ClientLog(log).Handler(), slog.LevelWarn),
	}
}

// localHost answers 421 to a request from this machine for a host that is neither this machine nor
// listen, the host of --metrics-listen: a page of another site can send such requests from a browser
// on this machine. Names by which other machines reach the listener are not known.
func localHost(listen string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLocal(r) && !server.IsOwnHost(r, listen) {
			http.Error(w, "this server does not serve the host of the request: use localhost", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLocal reports whether a request comes from this machine.
func isLocal(r *http.Request) bool {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && address.Addr().Unmap().IsLoopback()
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
		if !isLocal(r) || isForwarded(r) {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
