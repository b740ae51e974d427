package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/metrics"
	"muster/internal/server"
	"muster/internal/store"

	"golang.org/x/sync/errgroup"
)

// runningServer is a server that listens and is ready to run.
type runningServer struct {
	log   *slog.Logger
	base  string        // public base URL
	delay time.Duration // --drain-delay
	drain time.Duration // --drain-timeout
	cert  *certificate  // nil without TLS

	metrics      *metrics.Metrics
	directory    directory
	registration store.ServeMark
	files        *ownedFolder
	audit        *audit.File // nil without an audit log
	exports      *export.Service

	handler         *server.Server
	listener        net.Listener
	http            *http.Server
	metricsListener net.Listener // nil without --metrics-listen
	metricsHTTP     *http.Server // nil without --metrics-listen

	opened closers
}

// gateStalled logs that a process holds the write gate and makes no progress, and counts it.
func (s *runningServer) gateStalled(stall store.GateStall) {
	s.metrics.GateStalled(stall)
	if stall == (store.GateStall{}) {
		s.log.Info("the write gate makes progress again")
		return
	}
	s.log.Error("the write gate is held without progress", "holder", stall.Holder, "since", stall.Since.UTC().Format(time.RFC3339), "for", stall.For.Round(time.Second), "to_do", stall.Remedy)
}

// ready reports why the server cannot serve now.
func (s *runningServer) ready(ctx context.Context) error {
	return errors.Join(s.directory.Ping(ctx), s.files.Check(ctx))
}

// run serves and works on exports until ctx ends or one of the parts fails. It closes what
// start has opened.
func (s *runningServer) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.opened.Close()) }()
	// No client is authenticated yet.
	s.log.Info("serving", "address", s.listener.Addr().String(), "base_url", s.base, "tls", s.cert != nil, "authentication", "none")
	listener := s.handler.Listen(s.http, s.listener, s.cert.config())
	stopped := ctx
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ignore(s.exports.Run(ctx), context.Canceled) })
	g.Go(func() error { return serveOn(s.http, listener) })
	g.Go(func() error { return s.registration.Watch(ctx) })
	g.Go(func() error { s.logResources(ctx); return nil })
	g.Go(func() error {
		(&clockWatch{log: s.log, last: s.directory.LastTime}).run(ctx, s.directory.Now)
		return nil
	})
	if s.cert != nil {
		g.Go(func() error { s.cert.reloadOnSignal(ctx); return nil })
	}
	if s.metricsHTTP != nil {
		s.log.Info("serving metrics", "address", s.metricsListener.Addr().String())
		g.Go(func() error { return serveOn(s.metricsHTTP, s.metricsListener) })
	}
	g.Go(func() error {
		<-ctx.Done()
		s.log.Info("shutting down", "reason", context.Cause(ctx).Error())
		if stopped.Err() != nil { // not because a part has failed
			s.divert()
		}
		return s.shutDown(ctx)
	})
	return g.Wait()
}

// divert serves requests for a further time, in which a proxy notices that the server is not
// ready any more and sends new requests elsewhere. A server that is sent a request when it has
// stopped accepting connections loses it.
func (s *runningServer) divert() {
	s.handler.Drain()
	if s.delay > 0 {
		s.log.Info("not ready any more: still serving, so that a proxy loses no request", "for", s.delay)
		<-time.After(s.delay)
	}
}

// shutDown stops accepting requests and waits for responses in progress.
func (s *runningServer) shutDown(ctx context.Context) error {
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	if s.metricsHTTP != nil {
		_ = s.metricsHTTP.Close()
	}
	if err := s.http.Shutdown(drain); err != nil {
		s.log.Warn("shutdown cut off responses in progress", "after", s.drain)
		return s.http.Close()
	}
	return nil
}

// ignore returns nil for the expected error.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// serveOn serves until the server is shut down.
func serveOn(s *http.Server, l net.Listener) error { return ignore(s.Serve(l), http.ErrServerClosed) }

// unlessClosed closes a listener that its server may have closed already.
type unlessClosed struct{ net.Listener }

// Close implements [io.Closer].
func (l unlessClosed) Close() error { return ignore(l.Listener.Close(), net.ErrClosed) }
