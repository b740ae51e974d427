package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// metricsFlags are the options of the metrics listener.
type metricsFlags struct {
	MetricsListen string `placeholder:"HOST:PORT" help:"Address of a listener for /metrics, open to every client that can connect. By default /metrics is on the main address, for this machine only."`
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
	return &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
