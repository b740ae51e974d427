package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
	_ "time/tzdata" // --zone must work on machines without zone data (D11)

	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/failpoint"
	"muster/internal/metrics"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/searchset"
	"muster/internal/server"
	"muster/internal/store"

	"golang.org/x/sync/errgroup"
)

// serveCmd is `muster serve`: the one struct of everything a server can be told.
type serveCmd struct {
	Data     string `required:"" placeholder:"DIR" help:"Data directory to serve. With --database, the folder for the files of exports; several servers on one database share it."`
	Database string `placeholder:"URL" help:"PostgreSQL database that holds the directory, as postgres://USER:PASSWORD@HOST:PORT/DATABASE, instead of the data directory."`
	Listen   string `default:"localhost:8080" placeholder:"HOST:PORT" help:"Address to listen on (${default})."`
	BaseURL  string `name:"base-url" default:"http://localhost:8080/fhir" placeholder:"URL" help:"Public base URL, part of every link (${default}). A data directory keeps the one it was first served with."`

	BehindProxy bool `help:"A proxy in front speaks TLS. Needed to listen beyond this machine."`
	NoAuth      bool `name:"no-auth" help:"Serve everybody who can connect. Needed to listen beyond this machine."`

	Zone          string        `default:"Australia/Sydney" help:"Time zone of the times in manifests, and of dates without one in filters (${default})."`
	Workers       int           `default:"2" help:"Pieces of export work done at a time (${default})."`
	PartBytes     int64         `default:"268435456" placeholder:"N" help:"NDJSON bytes after which an output file is full (${default})."`
	Retention     time.Duration `default:"24h" help:"How long files stay after an export has ended (${default})."`
	SweepEvery    time.Duration `default:"1m" help:"Pause between two rounds of the janitor, which removes what has expired (${default})."`
	Jobs          int           `default:"5" placeholder:"N" help:"Exports of one client that may run at a time; 0 for no limit (${default})."`
	Lease         time.Duration `default:"5s" help:"How long work stays with a server that is gone without a word before another server takes it (${default})."`
	PollLimit     string        `default:"enforce" enum:"enforce,warn,off" help:"What becomes of polls that come too early: enforce (429), warn (logged) or off (${default})."`
	PollInterval  time.Duration `default:"0s" help:"Wait between polls; 0 adapts it to the time left, 120s is the national service's."`
	PageLife      time.Duration `default:"1h" help:"How long the links to the pages of a search can be followed (${default})."`
	DrainTimeout  time.Duration `default:"10s" help:"How long a server that was told to end waits for answers under way (${default})."`
	LogFormat     string        `default:"text" enum:"text,json" help:"Form of the log lines on standard error: text or json (${default})."`
	Guards        guards        `embed:"" group:"Protection and numbers"`
	Compatibility switches      `embed:"" prefix:"compat-" group:"Switches of the guide's open questions"`
}

// switches are the answers to the guide's open questions that an operator may
// choose (docs/decisions/0004-answers.md).
type switches struct {
	MissingTypeFilter  bool `help:"Export a type without a filter of its own whole, as clients of 0.3.0 expect."`
	OutputFormat       bool `help:"Accept a missing _outputFormat and the short forms of Bulk Data."`
	ProvenanceType     bool `default:"true" negatable:"" help:"Accept the filter Provenance?target.resolve().as(Type) of the guide's example."`
	SuppressedSearch   bool `default:"true" negatable:"" help:"Let searches and filters ask for suppressed resources with the parameter suppressed. Clients that are not authenticated may not where others than this machine can reach the server."`
	ContactSearch      bool `default:"true" negatable:"" help:"Let searches and filters name phone, email and telecom of a Practitioner."`
	RequireSubstantive bool `default:"true" negatable:"" help:"Refuse a search that names nothing but states and the form of its answer."`
	StrictAccept       bool `default:"true" negatable:"" help:"Refuse an Accept header of plain application/json where FHIR is served."`
	StrictRequestID    bool `name:"strict-request-id" default:"true" negatable:"" help:"Refuse an X-Request-ID that is no UUID; otherwise it is replaced."`
	PostDownload       bool `default:"true" negatable:"" help:"Serve files to POST too, as 0.3.0 wants."`
}

// Run serves until the context ends, then lets answers under way finish.
func (c *serveCmd) Run(a app) error {
	i, err := c.start(a)
	if err != nil {
		return err
	}
	return i.run(a.ctx)
}

// instance is a server that listens and is ready to run.
type instance struct {
	listener net.Listener
	http     *http.Server
	cert     *certificate // nil without TLS
	numbers  *http.Server // /metrics on an address of its own; nil without one
	scraped  net.Listener
	exports  *export.Service
	served   mark
	log      *slog.Logger
	drain    time.Duration
	close    func() error
}

// start checks the options, opens the data directory and listens.
func (c *serveCmd) start(a app) (_ *instance, err error) {
	if err := cmp.Or(c.sane(), c.safe()); err != nil {
		return nil, exitError{exitUsage, err}
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, exitError{exitUsage, fmt.Errorf("--zone %s: no such time zone: write a name such as Australia/Sydney", c.Zone)}
	}
	log := c.logger(a.stderr)

	var open []io.Closer
	closeAll := func() error {
		var errs []error
		for n := len(open) - 1; n >= 0; n-- {
			errs = append(errs, open[n].Close())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()

	cert, err := c.Guards.openTLS(log)
	if err != nil {
		return nil, exitError{exitUsage, err}
	}
	numbers := metrics.New(version)
	lock, err := lockServe(c.Data, c.Database)
	if err != nil {
		return nil, err
	}
	open = append(open, lock)
	registry, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	directory, err := openDirectory(a.ctx, c.Data, c.Database, store.Options{GateWaited: numbers.GateWaited, Expect: store.CreateInfo{
		BaseURL: c.BaseURL, DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(),
	}})
	if err != nil {
		return nil, err
	}
	open = append(open, directory)
	served, err := markServed(a.ctx, directory)
	if err != nil {
		return nil, err
	}
	open = append(open, served)
	files, err := claimFolder(a.ctx, c.Data, c.Database, directory)
	if err != nil {
		return nil, err
	}
	open = append(open, files)
	numbers.WatchJobs(directory, directory.Now)
	events, err := c.openAudit(log, numbers)
	if err != nil {
		return nil, err
	}
	if ended, err := takeUp(a.ctx, directory); err != nil {
		return nil, err
	} else if ended > 0 {
		log.Info("work of a server that died is taken up", "pieces", ended)
	}
	if !c.Compatibility.ContactSearch {
		registry = policy.WithoutContacts(registry)
	}
	compiler := search.New(registry, c.BaseURL, zone)
	s := c.Compatibility
	suppressed := policy.SuppressedRules{Search: s.SuppressedSearch, Local: !c.exposed()}
	exports := export.New(export.Config{
		Store: directory, Blobs: files, Owned: files.Owned, Compiler: compiler, BaseURL: c.BaseURL, Zone: zone, Now: directory.Now, Logger: log,
		Workers: c.Workers, PartBytes: c.PartBytes, JobsPerPrincipal: jobsLimit(c.Jobs), Retention: c.Retention,
		PollLimit: export.PollLimit(c.PollLimit), PollInterval: c.PollInterval, Lease: c.Lease, SweepEvery: c.SweepEvery,
		Observer: numbers, Suppressed: suppressed,
		Rules: export.Rules{LenientMissingTypeFilter: s.MissingTypeFilter, CompatOutputFormat: s.OutputFormat, ProvenanceTypeTestFilter: s.ProvenanceType},
	})
	searches := searchset.New(searchset.Config{
		Store: directory, Compiler: compiler, Registry: registry, BaseURL: c.BaseURL, Now: directory.Now, PageLife: c.PageLife,
		Rules: policy.SearchRules{RequireSubstantive: s.RequireSubstantive}, Suppressed: suppressed,
	})
	limits := c.Guards.limits(c.Listen)
	config := server.Config{
		Exports:     exports,
		Searches:    searches,
		ParseExport: exports.ParseRequest,
		Ready:       func(ctx context.Context) error { return errors.Join(directory.Ping(ctx), files.Check(ctx)) },
		Registry:    registry, BaseURL: c.BaseURL, Version: version, Logger: log, Now: directory.Now,
		PostDownload: s.PostDownload, StrictAccept: s.StrictAccept, RequestIDStrict: s.StrictRequestID,
		Limits: limits, Observer: numbers, BehindProxy: c.BehindProxy,
	}
	if events != nil {
		config.Audit, open = events, append(open, events)
	}
	if c.Guards.MetricsListen == "" {
		config.Metrics = numbers.Handler(log)
	}
	handler, err := server.New(config)
	if err != nil {
		return nil, err
	}
	scrape, scraped, err := c.Guards.metricsServer(a.ctx, numbers.Handler(log), log)
	if err != nil {
		return nil, err
	}
	if scraped != nil {
		open = append(open, unlessClosed{scraped})
	}
	listener, err := new(net.ListenConfig).Listen(a.ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another address with --listen", c.Listen, err)
	}
	if err := failpoint.Inject(a.ctx, "serve.listening"); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := directory.AdoptBaseURL(a.ctx, c.BaseURL); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	for _, route := range handler.Routes() {
		log.Info("route", "path", route.Path, "methods", route.Methods, "about", route.About)
	}
	return &instance{
		listener: listener, cert: cert, numbers: scrape, scraped: scraped, exports: exports, served: served, log: log, drain: c.DrainTimeout, close: closeAll,
		http: &http.Server{
			Handler:                      handler,
			DisableGeneralOptionsHandler: true, // OPTIONS * is answered by ours
			ReadHeaderTimeout:            10 * time.Second,
			ReadTimeout:                  time.Minute, // a kick-off body is small
			IdleTimeout:                  2 * time.Minute,
			MaxHeaderBytes:               limits.HeaderBytes(),
			ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}, nil
}

// run serves and works on exports until ctx ends or one of the two fails.
func (i *instance) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, i.close()) }()
	i.log.Info("serving", "address", i.listener.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ignore(i.exports.Run(ctx), context.Canceled) })
	g.Go(func() error { return serveOn(i.http, i.listener, i.cert) })
	g.Go(func() error { return i.served.Watch(ctx) })
	if i.cert != nil {
		g.Go(func() error { i.cert.reloadOnSignal(ctx); return nil })
	}
	if i.numbers != nil {
		i.log.Info("numbers for Prometheus", "address", i.scraped.Addr().String())
		g.Go(func() error { return serveOn(i.numbers, i.scraped, nil) })
	}
	g.Go(func() error {
		<-ctx.Done()
		i.log.Info("ending", "reason", context.Cause(ctx).Error())
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.drain)
		defer cancel()
		if i.numbers != nil {
			_ = i.numbers.Close()
		}
		if err := i.http.Shutdown(drain); err != nil {
			i.log.Warn("downloads under way were cut off", "after", i.drain)
			return i.http.Close()
		}
		return nil
	})
	return g.Wait()
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// sane refuses values that mean nothing, each with the way out.
func (c *serveCmd) sane() error {
	for _, o := range []struct {
		name string
		bad  bool
		want string
	}{
		{"--workers", c.Workers < 1 || c.Workers > 1000, "a number from 1 to 1000"},
		{"--part-bytes", c.PartBytes < 1, "a number of bytes from 1"},
		{"--jobs", c.Jobs < 0, "a number from 1, or 0 for no limit"},
		{"--retention", c.Retention <= 0, "a duration such as 24h"},
		{"--sweep-every", c.SweepEvery <= 0, "a duration such as 1m"},
		{"--lease", c.Lease < time.Second, "a duration from 1s"},
		{"--poll-interval", c.PollInterval < 0, "a duration such as 120s, or 0 to adapt it"},
		{"--page-life", c.PageLife <= 0, "a duration such as 1h"},
		{"--drain-timeout", c.DrainTimeout < 0, "a duration such as 10s"},
	} {
		if o.bad {
			return fmt.Errorf("%s: write %s", o.name, o.want)
		}
	}
	return cmp.Or(c.Guards.sane(), checkBaseURL(c.BaseURL))
}

// checkBaseURL refuses what cannot be the public base URL of a directory.
func checkBaseURL(text string) error {
	if _, err := server.CheckBaseURL(text); err != nil {
		return fmt.Errorf("--base-url %s: write an absolute URL such as https://directory.example.org/fhir, without a slash at the end", text)
	}
	return nil
}

// safe refuses what would put a directory on a network by accident (D14), each
// time with the way out.
func (c *serveCmd) safe() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: write HOST:PORT, such as localhost:8080", c.Listen)
	}
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		return fmt.Errorf("--base-url %s: %w", c.BaseURL, err)
	}
	if c.Guards.TLSCert != "" && !c.BehindProxy && u.Scheme != "https" {
		return fmt.Errorf("--tls-cert lets this server speak TLS, but links would begin with %s: set --base-url to an address that begins with https", c.BaseURL)
	}
	if loopback(host) {
		return nil
	}
	if c.Guards.TLSCert == "" && !c.BehindProxy {
		return fmt.Errorf("--listen %s is reached from other machines, and this server speaks no TLS: give it a certificate with --tls-cert and --tls-key, put a proxy with TLS in front and say --behind-proxy, or listen on localhost", c.Listen)
	}
	if loopback(u.Hostname()) {
		return fmt.Errorf("--listen %s is reached from other machines, but links would begin with %s: set --base-url to the public URL", c.Listen, c.BaseURL)
	}
	if !c.NoAuth {
		return fmt.Errorf("--listen %s is reached from other machines, and this server asks nobody who they are: say --no-auth if that is meant, or listen on localhost", c.Listen)
	}
	return nil
}

// exposed reports whether others than this machine can reach the server.
func (c *serveCmd) exposed() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err != nil || c.BehindProxy || !loopback(host)
}

// jobsLimit turns the option's 0, no limit, into that of [export.Config].
func jobsLimit(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// loopback reports whether only this machine reaches the host.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// logger writes structured lines to w.
func (c *serveCmd) logger(w io.Writer) *slog.Logger {
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}
