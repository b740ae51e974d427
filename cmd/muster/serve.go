package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"
	_ "time/tzdata" // --zone must work on machines without zone data (D11)

	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/failpoint"
	"muster/internal/job"
	"muster/internal/load"
	"muster/internal/metrics"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/searchset"
	"muster/internal/server"
	"muster/internal/store"
)

// serveCmd is `muster serve`.
type serveCmd struct {
	Data     string `required:"" placeholder:"DIR" help:"Data directory to serve. With --database, the folder for export files; servers of one database share it."`
	Database string `placeholder:"URL" help:"PostgreSQL database that holds the directory, as postgres://USER:PASSWORD@HOST:PORT/DATABASE, instead of the data directory."`
	Listen   string `default:"localhost:8080" placeholder:"HOST:PORT" help:"Address to listen on (${default})."`
	BaseURL  string `name:"base-url" placeholder:"URL" help:"Public base URL, part of every link. It is stored in the directory; muster rebase changes it. Defaults to the stored one, or else to the address of --listen, which is not stored."`

	Contact      contact        `placeholder:"CONTACT" help:"How clients reach the operator, for the CapabilityStatement: an e-mail address, a phone number or a URL. Defaults to the base URL."`
	BehindProxy  bool           `help:"A proxy in front of the server terminates TLS. Required to listen on other addresses than localhost, unless there is a certificate."`
	TrustedProxy []proxyNetwork `placeholder:"NETWORK" help:"Network or address of the proxies in front of the server, such as 10.0.0.0/24; repeat the option, or separate with commas. X-Forwarded-For of other peers is ignored. Defaults to every peer, whose last entry counts. Requires --behind-proxy."`
	CORSOrigin   []webOrigin    `name:"cors-origin" placeholder:"ORIGIN" help:"Origin of web pages that may use the API, such as https://console.example.org, or * for every page; repeat the option, or separate with commas. Defaults to none."`
	NoAuth       bool           `name:"no-auth" help:"Serve every client that can connect, without authentication. Required to listen on other addresses than localhost."`

	Zone         timeZone       `default:"${zone}" help:"Time zone of the times in manifests, and of dates without a zone in filters (${default})."`
	Workers      int            `default:"${workers}" help:"Number of workers that write export files (${default})."`
	PartBytes    int64          `type:"size" default:"${part_bytes}" placeholder:"SIZE" help:"Size of NDJSON after which a new output file begins (${default})."`
	Retention    time.Duration  `default:"${retention}" help:"Time for which the files of an export are kept after it has ended (${default})."`
	SweepEvery   time.Duration  `default:"${sweep_every}" help:"Pause between two rounds of the janitor, which deletes expired exports (${default})."`
	KeepRemovals time.Duration  `default:"${keep_removals}" help:"Time for which removals are kept. An export with an earlier _since is refused; 0 to keep them all (${default})."`
	Jobs         int            `default:"${jobs}" placeholder:"N" help:"Exports that one client may run at a time; 0 for no limit (${default})."`
	Lease        time.Duration  `default:"${lease}" help:"Time after which another server takes over the work of a server that has stopped responding (${default})."`
	PollLimit    string         `default:"enforce" enum:"enforce,warn,off" help:"Handling of polls that arrive before Retry-After: enforce (429), warn (log) or off (${default})."`
	PollInterval time.Duration  `default:"0s" help:"Retry-After of polls; 0 adapts it to the time left. The national service uses 120s (${default})."`
	RemovalList  string         `default:"output" enum:"output,extension,off" help:"Where the manifest of an export with _since lists the removal List, which has the identifiers of resources that were suppressed since: in output, in extension, or nowhere (off) (${default})."`
	PageLife     time.Duration  `default:"${page_life}" help:"Time for which the links to the pages of a search are valid (${default})."`
	DrainDelay   *time.Duration `help:"Time for which a server that is stopped still accepts requests, while /readyz answers 503 and a proxy sends new ones elsewhere. Defaults to ${drain_delay} with --behind-proxy, and to 0s otherwise."`
	DrainTimeout time.Duration  `default:"10s" help:"Time that a shutdown then waits for responses in progress (${default})."`

	logFlags     `embed:""`
	tlsFlags     `embed:"" group:"TLS, audit log and metrics"`
	auditFlags   `embed:"" group:"TLS, audit log and metrics"`
	metricsFlags `embed:"" group:"TLS, audit log and metrics"`
	limitsFlags  `embed:"" group:"Limits"`

	Compatibility switches `embed:"" prefix:"compat-" group:"Compatibility (open questions of the guide)"`
}

// switches choose between answers to the open questions of the guide
// (docs/decisions/0004-answers.md).
type switches struct {
	MissingTypeFilter  bool `help:"Export all resources of a type that has no _typeFilter, as clients of 0.3.0 expect."`
	OutputFormat       bool `help:"Accept a missing _outputFormat and the short forms of Bulk Data."`
	ProvenanceType     bool `default:"true" negatable:"" help:"Accept the filter Provenance?target.resolve().as(Type), an example in the guide."`
	SuppressedSearch   bool `default:"true" negatable:"" help:"Allow the parameter suppressed in searches and filters. Clients without authentication may not use it if other machines can reach the server."`
	ContactSearch      bool `default:"true" negatable:"" help:"Allow the parameters phone, email and telecom of Practitioner in searches and filters."`
	RequireSubstantive bool `default:"true" negatable:"" help:"Reject a search that has only criteria for states and result parameters."`
	StrictAccept       bool `default:"true" negatable:"" help:"Reject an Accept header of application/json where the response is FHIR."`
	StrictRequestID    bool `name:"strict-request-id" default:"true" negatable:"" help:"Reject an X-Request-ID that is not a UUID; otherwise it is replaced."`
	PostDownload       bool `default:"true" negatable:"" help:"Serve export files to POST also, as 0.3.0 requires."`
}

// Validate checks the bounds, the base URL, and that the directory is not put on a
// network by accident.
func (c *serveCmd) Validate() error {
	return firstError(
		bound("--workers", c.Workers >= 1 && c.Workers <= 256, "a number from 1 to 256"),
		bound("--part-bytes", c.PartBytes >= 1, "a number of bytes from 1"),
		bound("--jobs", c.Jobs >= 0, "a number from 1, or 0 for no limit"),
		bound("--retention", c.Retention > 0, "a duration such as 24h"),
		bound("--sweep-every", c.SweepEvery > 0, "a duration such as 1m"),
		bound("--keep-removals", c.KeepRemovals >= 0, "a duration such as 400d, or 0 to keep them all"),
		bound("--lease", c.Lease >= time.Second, "a duration from 1s"),
		bound("--poll-interval", c.PollInterval >= 0, "a duration such as 120s, or 0 to adapt it"),
		bound("--page-life", c.PageLife > 0, "a duration such as 1h"),
		bound("--drain-delay", c.DrainDelay == nil || *c.DrainDelay >= 0, "a duration such as 5s, or 0s for none"),
		bound("--drain-timeout", c.DrainTimeout >= 0, "a duration such as 10s"),
		checkDatabase(c.Database),
		c.tlsFlags.Validate(), c.auditFlags.Validate(), c.metricsFlags.Validate(), c.limitsFlags.Validate(),
		bound("--trusted-proxy", len(c.TrustedProxy) == 0 || c.BehindProxy, "it together with --behind-proxy"),
		c.validateExposure(),
	)
}

// validateExposure rejects options that would put a directory on a network by accident
// (D14).
func (c *serveCmd) validateExposure() error {
	if err := checkListen("--listen", c.Listen); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	if c.TLSCert == "" && !c.BehindProxy && !loopback(host) {
		return fmt.Errorf("--listen %s: other machines can connect, and the server does not use TLS: set --tls-cert and --tls-key, or put a proxy with TLS in front and set --behind-proxy, or listen on localhost", c.Listen)
	}
	if c.BaseURL != "" {
		if err := c.checkPublic(c.BaseURL); err != nil {
			return err
		}
	}
	if !c.NoAuth && !loopback(host) {
		return fmt.Errorf("--listen %s: other machines can connect, and the server does not authenticate clients: set --no-auth if that is intended, or listen on localhost", c.Listen)
	}
	return nil
}

// checkListen returns an error if the value of an option is not an address to listen on. It does
// not repeat the value.
func checkListen(option, address string) error {
	_, _, err := net.SplitHostPort(address)
	return bound(option, err == nil, "HOST:PORT, such as localhost:8080")
}

// publicURL returns the base URL of the server: the one of the command line, the stored one, or
// the address of the listener if that is where clients connect.
func (c *serveCmd) publicURL(stored string, listening net.Addr) (string, error) {
	if given := cmp.Or(c.BaseURL, stored); given != "" {
		return given, c.checkPublic(given)
	}
	host, _, err := net.SplitHostPort(c.Listen) // the host as it was written, such as localhost
	if err != nil {
		return "", err
	}
	if c.BehindProxy {
		return "", fmt.Errorf("--listen %s: links need the URL at which clients connect: set --base-url to the public URL", c.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "", fmt.Errorf("--listen %s: links need the URL at which clients connect: set --base-url to the public URL, or name one address in --listen", c.Listen)
	}
	_, port, err := net.SplitHostPort(listening.String()) // --listen may leave the choice of the port to the system
	if err != nil {
		return "", err
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/fhir", nil
}

// checkPublic rejects a base URL that is not valid, or at which clients cannot reach the
// server.
func (c *serveCmd) checkPublic(base string) error {
	if err := checkBaseURL(base); err != nil {
		return err
	}
	u, err := url.Parse(base)
	if err != nil {
		return errors.New("--base-url: it is not a URL") // checkBaseURL has refused it
	}
	if c.TLSCert != "" && !c.BehindProxy && u.Scheme != "https" {
		return fmt.Errorf("--tls-cert enables TLS, but links would begin with %s: set --base-url to a URL that begins with https", base)
	}
	if !c.listensLocally() && loopback(u.Hostname()) {
		return fmt.Errorf("--listen %s: other machines can connect, but links would begin with %s: set --base-url to the public URL", c.Listen, base)
	}
	return nil
}

// checkBaseURL rejects a text that is not a valid base URL of a directory.
func checkBaseURL(text string) error {
	if _, err := server.CheckBaseURL(text); err != nil {
		return fmt.Errorf("--base-url: %w", err)
	}
	return nil
}

// exposed reports whether other machines can reach the server, directly or through a
// proxy.
func (c *serveCmd) exposed() bool { return c.BehindProxy || !c.listensLocally() }

// serverLimits returns the limits of requests and clients. The machine of a proxy is not the one
// that requests come from.
func (c *serveCmd) serverLimits() server.Limits { return c.limits(!c.exposed()) }

// defaultDrainDelay is the default of --drain-delay behind a proxy, which checks every few seconds
// whether a server is ready.
const defaultDrainDelay = 5 * time.Second

// drainDelay returns the time for which a server that is stopped still accepts requests.
func (c *serveCmd) drainDelay() time.Duration {
	switch {
	case c.DrainDelay != nil:
		return *c.DrainDelay
	case c.BehindProxy:
		return defaultDrainDelay
	}
	return 0
}

// listensLocally reports whether only this machine can connect to the server.
func (c *serveCmd) listensLocally() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && loopback(host)
}

// loopback reports whether only this machine can reach the host.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run serves until the context ends, then waits for responses in progress.
func (c *serveCmd) Run(a app) error {
	s, err := c.start(a)
	if err != nil {
		return err
	}
	return s.run(a.ctx)
}

// start opens the directory, builds the services and listens.
func (c *serveCmd) start(a app) (_ *runningServer, err error) {
	runtime.GOMAXPROCS(threads(os.Getenv("GOMAXPROCS"), runtime.NumCPU(), runtime.GOMAXPROCS(0)))
	s := &runningServer{log: c.logger(a.stderr), delay: c.drainDelay(), drain: c.DrainTimeout}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.opened.Close())
		}
	}()
	if s.cert, err = c.tlsFlags.open(s.log); err != nil {
		return nil, exitError{exitUsage, err}
	}
	registry, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	if err := c.openStores(a.ctx, s, registry); err != nil {
		return nil, err
	}
	if err := c.listen(a.ctx, s); err != nil {
		return nil, err
	}
	if s.base, err = c.publicURL(s.directory.Info().BaseURL, s.listener.Addr()); err != nil {
		return nil, exitError{exitUsage, err}
	}
	handler, err := c.buildServices(s, registry)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(a.ctx, s, handler); err != nil {
		return nil, err
	}
	return s, nil
}

// threads returns how many threads run the code of a server on a number of cores, of which the
// process uses some now. With twice as many as cores, short requests do not wait for statements of
// SQLite. given is the setting of the environment.
func threads(given string, cores, now int) int {
	if given != "" || now != cores {
		return now
	}
	return 2 * cores
}

// openStores opens the directory, registers this server with it, and opens the folder for
// export files and the audit log.
func (c *serveCmd) openStores(ctx context.Context, s *runningServer, registry *conformance.Registry) error {
	lock, err := lockServe(c.Data, c.Database)
	if err != nil {
		return err
	}
	s.opened.add(lock)
	s.metrics = metrics.New(currentBuild().forMetrics())
	s.directory, err = openDirectory(ctx, c.Data, c.Database, store.Options{GateWaited: s.metrics.GateWaited, GateStalled: s.gateStalled, SearchWaited: s.metrics.SearchWaited,
		SlowSearches: c.slowSearches(), SearchWait: c.SearchWait, Workers: c.Workers, Expect: store.Identity{
			BaseURL: c.BaseURL, DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Cascades: true,
		}, Rules: load.RulesFor(registry)})
	if err != nil {
		return err
	}
	s.opened.add(s.directory)
	c.watch(s)
	if s.registration, err = s.directory.MarkServed(ctx); err != nil {
		return err
	}
	s.opened.add(s.registration)
	if _, err := s.directory.Secret(ctx, searchset.PageSecret); err != nil {
		return err
	}
	if s.files, err = claimFilesFolder(ctx, c.Data, c.Database, s.directory); err != nil {
		return err
	}
	s.opened.add(s.files)
	if s.audit, err = c.openAudit(s.log, s.metrics.AuditLost, s.metrics.AuditRemovedEarly); err != nil {
		return err
	}
	if s.audit != nil {
		s.opened.add(s.audit)
	}
	released, err := s.directory.EndClaims(ctx)
	if err == nil && released > 0 {
		s.log.Info("released the claims of a server that has crashed", "pieces", released)
	}
	return err
}

// watch makes each scrape of the metrics read the live exports, the searches, the disks, the certificate, and
// when the directory was loaded and backed up.
func (c *serveCmd) watch(s *runningServer) {
	s.metrics.WatchJobs(s.directory, s.directory.Now, job.DefaultSlices.Long)
	s.metrics.WatchMembers(s.directory)
	s.metrics.WatchSearches(s.directory)
	s.metrics.WatchTimes(s.directory)
	s.metrics.WatchDisk("files", filesFolder(c.Data))
	if c.Database == "" {
		s.metrics.WatchDisk("data", c.Data)
	}
	if log := logOf(s.directory); log != nil {
		s.metrics.WatchLog(log)
	}
	if s.cert != nil {
		s.metrics.WatchCertificate(s.cert.expires)
	}
}

// buildServices connects the services of the directory and returns the handler of
// requests.
func (c *serveCmd) buildServices(s *runningServer, registry *conformance.Registry) (*server.Server, error) {
	compat := c.Compatibility
	if !compat.ContactSearch {
		registry = policy.WithoutContacts(registry)
	}
	compiler := search.New(registry, s.base, c.Zone.Location).At(s.directory.Info().Addresses()...)
	suppressed := policy.SuppressedRules{Search: compat.SuppressedSearch, Local: !c.exposed()}
	s.exports = export.New(export.Config{
		Store: s.directory, Blobs: s.files, Owned: s.files.Owned, Compiler: compiler, BaseURL: s.base, Zone: c.Zone.Location,
		Now: s.directory.Now, Logger: s.log, Observer: s.metrics, Workers: c.Workers, PartBytes: c.PartBytes, JobsPerPrincipal: c.Jobs, Quota: store.Quota{Client: c.ClientQuota, Total: c.Quota},
		Retention: c.Retention, PollLimit: export.PollLimit(c.PollLimit), PollInterval: c.PollInterval, Lease: c.Lease, SweepEvery: c.SweepEvery, KeepRemovals: c.KeepRemovals, MembershipBytes: c.MembershipBytes,
		Log: logOf(s.directory), LogLimit: c.WALLimit,
		Suppressed: suppressed,
		Rules: export.Rules{
			LenientMissingTypeFilter: compat.MissingTypeFilter, CompatOutputFormat: compat.OutputFormat, ProvenanceTypeTestFilter: compat.ProvenanceType,
			RemovalList: removalList(c.RemovalList),
		},
	})
	searches := searchset.New(searchset.Config{
		Store: s.directory, Compiler: compiler, Registry: registry, BaseURL: s.base, Now: s.directory.Now, PageLife: c.PageLife,
		Rules: policy.SearchRules{RequireSubstantive: compat.RequireSubstantive}, Suppressed: suppressed,
	})
	limits := c.serverLimits()
	var err error
	if limits.Connections, err = c.connections(openFiles(), c.Workers); err != nil {
		return nil, exitError{exitUsage, err}
	}
	b := currentBuild()
	config := server.Config{
		Exports: s.exports, Searches: searches, ParseExport: s.exports.ParseRequest, Ready: s.ready,
		Registry: registry, BaseURL: s.base, Version: b.full(), Released: b.committed, Logger: s.log, Now: time.Now,
		Contact: c.Contact.Contact, Rules: c.serverRules(suppressed),
		TrackMembership: c.MembershipBytes > 0, PostDownload: compat.PostDownload, StrictAccept: compat.StrictAccept, RequestIDStrict: compat.StrictRequestID,
		Origins: c.origins(),
		Limits:  limits, Observer: s.metrics, BehindProxy: c.BehindProxy, TrustedProxies: c.trustedProxies(), Hosts: c.hosts(s.base),
	}
	if s.audit != nil {
		config.Audit = s.audit
	}
	if c.MetricsListen == "" {
		config.Metrics = s.metrics.Handler(s.log)
	}
	return server.New(config)
}

// removalList returns the value of --removal-list.
func removalList(option string) export.RemovalList {
	if option == "off" {
		return export.RemovalListOff
	}
	return export.RemovalList(option)
}

// hosts returns the hosts that requests may be for: those of the base URL and of --listen.
// Behind a proxy, there are none to check.
func (c *serveCmd) hosts(base string) (names []string) {
	if c.BehindProxy {
		return nil
	}
	if u, err := url.Parse(base); err == nil {
		names = append(names, u.Hostname())
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}

// listen opens the listeners.
func (c *serveCmd) listen(ctx context.Context, s *runningServer) (err error) {
	if s.metricsListener, err = c.metricsFlags.listen(ctx); err != nil {
		return err
	}
	if s.metricsListener != nil {
		s.opened.add(unlessClosed{s.metricsListener})
		s.metricsHTTP = c.newMetricsServer(s.metrics.Handler(s.log), s.log)
	}
	s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w: choose another address with --listen", c.Listen, err)
	}
	s.opened.add(unlessClosed{s.listener})
	return nil
}

// prepare makes the HTTP server. It also stores a base URL of the command line in a directory
// that has none yet, as the last step that can fail: a server that did not start leaves the
// base URL open.
func (c *serveCmd) prepare(ctx context.Context, s *runningServer, handler *server.Server) error {
	s.handler = handler
	for name, pool := range handler.Pools() {
		s.metrics.WatchPool(name, pool)
	}
	s.http = &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true, // the handler answers OPTIONS *
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  time.Minute, // a kick-off body is small
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               handler.Limits.HeaderBytes(),
	}
	if err := failpoint.Inject(ctx, "serve.listening"); err != nil {
		return err
	}
	if c.BaseURL != "" {
		if err := s.directory.AdoptBaseURL(ctx, c.BaseURL); err != nil {
			return err
		}
	}
	c.logStart(s, handler)
	return nil
}
