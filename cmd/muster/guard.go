package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"muster/internal/audit"
	"muster/internal/metrics"
	"muster/internal/server"
)

// guards are the options of `muster serve` that protect it and tell of it.
type guards struct {
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain in PEM: speak TLS (1.2 or later). Read again when it changes, or on SIGHUP."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Key of the certificate, in PEM."`

	AuditLog     string `placeholder:"FILE|off" help:"Log of who asked for what, one JSON line for each request; off for none. By default audit.log in the data directory, and with --database audit-HOST-PORT.log there."`
	AuditSize    int    `default:"100" placeholder:"MB" help:"Megabytes after which the audit log is full and another begins (${default})."`
	AuditBackups int    `default:"10" placeholder:"N" help:"Full audit logs that are kept, compressed (${default})."`

	MetricsListen string `placeholder:"HOST:PORT" help:"Serve /metrics here, to whoever reaches it. By default it is on the main address, for this machine only."`

	MaxBody       int64   `default:"1048576" placeholder:"N" help:"Bytes that the body of a request may have (${default})."`
	MaxHeader     int     `default:"32768" placeholder:"N" help:"Bytes that the header of a request may have (${default})."`
	MaxURL        int     `name:"max-url" default:"16384" placeholder:"N" help:"Bytes that the address of a request may have (${default})."`
	MaxParameters int     `default:"200" placeholder:"N" help:"Parameters that the address of a request may have (${default})."`
	Rate          float64 `default:"-1" placeholder:"N" help:"Requests of one client in a second; 0 for no limit. By default 100, and no limit where only this machine is served."`
	Burst         int     `default:"0" placeholder:"N" help:"Requests of one client at once; 0 for twice the rate."`
	Downloads     int     `default:"16" placeholder:"N" help:"Files that one client may fetch at a time; 0 for no limit (${default})."`
	Searches      int     `default:"4" placeholder:"N" help:"Searches of one client that run at a time, while others wait; 0 for no limit (${default})."`
}

// defaultGuards are the guards without any option.
func defaultGuards() guards {
	return guards{AuditSize: 100, AuditBackups: 10, MaxBody: 1 << 20, MaxHeader: 32 << 10, MaxURL: 16 << 10, MaxParameters: 200, Rate: -1, Downloads: 16, Searches: 4}
}

// defaultRate is the limit of requests of one client in a second for a server that other
// machines reach.
const defaultRate = 100

// sane refuses values that mean nothing.
func (g guards) sane() error {
	for _, o := range []struct {
		name string
		bad  bool
		want string
	}{
		{"--tls-cert, --tls-key", (g.TLSCert == "") != (g.TLSKey == ""), "both or none"},
		{"--audit-size", g.AuditSize < 1 || g.AuditSize > 1<<20, "a number of megabytes from 1 to 1048576"},
		{"--audit-backups", g.AuditBackups < 1, "a number of files from 1"},
		{"--max-body", g.MaxBody < 1, "a number of bytes from 1"},
		{"--max-header", g.MaxHeader < 1024 || g.MaxHeader > 1<<30, "a number of bytes from 1024 to 1073741824"},
		{"--max-url", g.MaxURL < 256 || g.MaxURL > 1<<30, "a number of bytes from 256 to 1073741824"},
		{"--max-parameters", g.MaxParameters < 1, "a number from 1"},
		{"--rate", !(g.Rate >= 0 && g.Rate <= 1e6 || g.Rate == -1), "a number of requests in a second up to 1000000, or 0 for no limit"},
		{"--burst", g.Burst < 0, "a number of requests from 1, or 0 for twice the rate"},
		{"--downloads", g.Downloads < 0, "a number from 1, or 0 for no limit"},
		{"--searches", g.Searches < 0, "a number from 1, or 0 for no limit"},
	} {
		if o.bad {
			return fmt.Errorf("%s: write %s", o.name, o.want)
		}
	}
	if _, _, err := net.SplitHostPort(g.MetricsListen); g.MetricsListen != "" && err != nil {
		return fmt.Errorf("--metrics-listen %s: write HOST:PORT, such as localhost:9090", g.MetricsListen)
	}
	return nil
}

// limits are those of requests and clients.
func (g guards) limits(listen string) server.Limits {
	l := server.Limits{Body: g.MaxBody, Header: g.MaxHeader, URL: g.MaxURL, Parameters: g.MaxParameters, Rate: g.Rate, Burst: g.Burst, Downloads: g.Downloads, Searches: g.Searches}
	if l.Downloads == 0 {
		l.Downloads = -1
	}
	if l.Searches == 0 {
		l.Searches = -1
	}
	if l.Rate < 0 {
		l.Rate = defaultRate
		if host, _, err := net.SplitHostPort(listen); err == nil && loopback(host) {
			l.Rate = 0
		}
	}
	return l
}

// openAudit opens the audit log; nil when it is off.
func (c *serveCmd) openAudit(log *slog.Logger, numbers *metrics.Metrics) (*audit.File, error) {
	g, path := c.Guards, c.Guards.AuditLog
	switch path {
	case "off":
		log.Warn("no audit log is kept", "option", "--audit-log off")
		return nil, nil
	case "":
		path = filepath.Join(c.Data, c.auditName())
	}
	return audit.Open(path, audit.Options{MegaBytes: g.AuditSize, Backups: g.AuditBackups, Logger: log, Lost: numbers.AuditLost})
}

// auditName is the name of the audit log in the data directory. Where several servers share
// the folder each has a log of its own, for one process writes to one file.
func (c *serveCmd) auditName() string {
	if c.Database == "" {
		return "audit.log"
	}
	host, err := os.Hostname()
	if err != nil {
		host = "server"
	}
	_, port, _ := net.SplitHostPort(c.Listen)
	return fmt.Sprintf("audit-%s-%s.log", host, port)
}

// openTLS reads the certificate; nil without one.
func (g guards) openTLS(log *slog.Logger) (*certificate, error) {
	if g.TLSCert == "" {
		return nil, nil
	}
	return loadCertificate(g.TLSCert, g.TLSKey, log)
}

// metricsServer serves the numbers on an address of their own; nil without one.
func (g guards) metricsServer(ctx context.Context, numbers http.Handler, log *slog.Logger) (*http.Server, net.Listener, error) {
	if g.MetricsListen == "" {
		return nil, nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", g.MetricsListen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w: choose another address with --metrics-listen", g.MetricsListen, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", numbers)
	return &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, listener, nil
}

// reloadOnSignal reads the certificate again on SIGHUP until ctx ends.
func (c *certificate) reloadOnSignal(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			c.reload()
		}
	}
}

// serveOn serves until the server is shut down, with TLS if there is a certificate.
func serveOn(s *http.Server, l net.Listener, c *certificate) error {
	var err error
	if c == nil {
		err = s.Serve(l)
	} else {
		s.TLSConfig = c.config()
		err = s.ServeTLS(l, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// unlessClosed closes a listener that its server may have closed already.
type unlessClosed struct{ net.Listener }

// Close implements [io.Closer].
func (l unlessClosed) Close() error {
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
