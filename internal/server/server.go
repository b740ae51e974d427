package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/conformance"
	"muster/internal/damage"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/searchset"
	"muster/internal/share"
	"muster/internal/store"

	"golang.org/x/sync/singleflight"
)

// Exports is the bulk export as the server uses it; [export.Service] implements it. The
// client is the principal in the context.
type Exports interface {
	KickOff(ctx context.Context, r export.Request) (jobID string, err error)
	// Poll returns the status of a live, complete or failed job. Any other job is
	// [store.ErrNotFound].
	Poll(ctx context.Context, jobID string) (export.Status, error)
	Cancel(ctx context.Context, jobID string) error
	OpenFile(ctx context.Context, file string) (*export.File, error)
}

// Searches is search and read as the server uses them; [searchset.Service] implements it.
// The client is the principal in the context. rawQuery is the query of the URL,
// undecoded.
type Searches interface {
	Search(ctx context.Context, t fhir.Type, rawQuery string) (searchset.Answer, error)
	Page(ctx context.Context, of fhir.Type, rawQuery string) (searchset.Answer, error)
	Read(ctx context.Context, t fhir.Type, id, rawQuery string) (searchset.Resource, error)
}

// Recorder records audit events; [audit.File] implements it.
type Recorder interface {
	// Record records a request that was served.
	Record(audit.Event)
	// RecordRefused records a request of a client (package client) that was answered with an
	// error. Many of them may become one event. Route is a route pattern.
	RecordRefused(client, route string, e audit.Event)
}

// Observer receives events for metrics. Its methods may be called concurrently.
type Observer interface {
	// Request is called after the last byte of a response. Route is a route pattern, never a
	// path.
	Request(route, method string, status int, took time.Duration, sent int64)
	// NotForwarded is called when X-Forwarded-For of a trusted proxy is not understood.
	NotForwarded()
	// Refused is called when a request is refused because of a limit: [RefusedPoll],
	// [RefusedRate], ….
	Refused(limit string)
	// Damaged is called when data that a client asks for are damaged.
	Damaged(kind damage.Kind)
}

// The limits that are passed to [Observer].Refused.
const (
	RefusedPoll     = "poll"     // a poll came too early
	RefusedRate     = "rate"     // too many requests
	RefusedDownload = "download" // too many concurrent downloads
	RefusedSearch   = "search"   // too many concurrent searches
	RefusedJob      = "job"      // too many live exports
	RefusedQuota    = "quota"    // too many bytes of finished exports of the client
	RefusedSpace    = "space"    // too many bytes of finished exports of all clients
	RefusedHost     = "host"     // a host that the server does not serve
	RefusedMemory   = "memory"   // the client's requests and answers take too much memory
	RefusedFull     = "full"     // those of all clients do; no limit of the client
	// too many connections, of the client or of all clients; there is no answer
	RefusedConnection = "connection"
	RefusedBusy       = "busy" // the search waited too long for its turn; no limit of the client
)

// Config configures a [Server]. All fields without "optional" are required.
type Config struct {
	Exports  Exports
	Searches Searches
	// ParseExport parses the body of a kick-off of the principal in ctx. Its errors are
	// fhir.Issues.
	ParseExport func(ctx context.Context, body []byte) (export.Request, error)
	Registry    *conformance.Registry
	BaseURL     string // public base URL of the FHIR API, without a trailing slash
	Version     string // version of the program, for the CapabilityStatement
	Released    string // when this version was made, as a FHIR dateTime; optional
	Logger      *slog.Logger
	// Now is the clock of this machine. Durations and limits use its monotonic reading, so a
	// step of the clock has no effect on them.
	Now func() time.Time

	// Contact is how clients reach the operator (CS-01). Optional: defaults to the base URL.
	Contact conformance.Contact
	// Rules are the rules in force, for the text of the CapabilityStatement. Optional: the
	// zero value has those of the guide.
	Rules conformance.ServerRules

	// Ready returns an error if requests cannot be served; /readyz calls it. Optional.
	Ready func(ctx context.Context) error

	// Limits are the limits of requests and clients; see [Limits] for the defaults.
	Limits Limits
	// Authenticator verifies the tokens of requests (AU-01). Optional: without it, no client is
	// authenticated.
	Authenticator auth.Authenticator
	// TokenURL is the token endpoint where clients get their tokens, for the CapabilityStatement.
	// Optional.
	TokenURL string
	// Origins are the origins of web pages that may use the API (CORS), such as
	// https://console.example.org; "*" allows all. Defaults to none.
	Origins []string
	// Audit receives an event for each request, after its last byte (AD-01), except for
	// health checks and scrapes that succeed. Optional.
	Audit Recorder
	// Observer receives events for metrics. Optional.
	Observer Observer
	// Metrics serves /metrics to clients on this machine. Optional.
	Metrics http.Handler
	// BehindProxy takes the client's address from the last entry of X-Forwarded-For,
	// which the proxy has written. Without it the header is ignored.
	BehindProxy bool
	// TrustedProxies are the networks of the proxies. With them, the header is read only from
	// these peers, and the client is the last entry that is not one of these proxies. Defaults
	// to none: every peer is the one proxy.
	TrustedProxies []netip.Prefix

	// Hosts are the names and addresses of the server in the header Host, in any case and without
	// ports, besides those of this machine (localhost, 127.0.0.1, …) and the address at which a
	// request arrives. A request for another host is answered with 421, except for health checks.
	// Empty accepts each host: a proxy has checked it.
	Hosts []string

	// TrackMembership allows the preference track-membership: exports then say what has left and
	// entered their filters. Without it the preference is ignored.
	TrackMembership bool
	// PostDownload allows files to be fetched with POST too, as in version 0.3.0 of the
	// guide (RE-02).
	PostDownload bool
	// StrictAccept rejects Accept: application/json where the guide requires
	// application/fhir+json (FM-01). Without it both are accepted (FM-03).
	StrictAccept bool
	// RequestIDStrict rejects an X-Request-ID that is not a UUID (HD-03). Without it such
	// an id is replaced by a generated one.
	RequestIDStrict bool
}

// Server is an [http.Handler] that serves the API. Safe for concurrent use.
type Server struct {
	Config
	clients     *clients
	clientLog   *slog.Logger  // see [ClientLog]
	connections *share.Pool   // of the listeners
	memory      *share.Pool   // bytes of requests and answers under way
	downloads   *share.Pool   // number under way; each has a file open
	kickOffs    *share.Queue  // of kick-offs that are parsed and stored
	fileReads   chan struct{} // holds one for each download that reads its file
	readiness   singleflight.Group
	basePath    string
	routes      []route
	handler     http.Handler
	bodyTimeout time.Duration

	forwardedLogged sync.Once
	draining        atomic.Bool
}

// New returns a server. An error names the invalid field of the configuration.
func New(c Config) (*Server, error) {
	basePath, err := checkConfig(c)
	if err != nil {
		return nil, err
	}
	c.Limits = c.Limits.withDefaults()
	s := &Server{Config: c, clients: newClients(c.Limits, c.Now), clientLog: ClientLog(c.Logger),
		connections: share.New(int64(c.Limits.Connections), int64(c.Limits.ClientConnections)),
		memory:      share.New(c.Limits.Memory, c.Limits.ClientMemory),
		downloads:   share.New(int64(c.Limits.Connections), int64(c.Limits.Downloads)),
		kickOffs:    share.NewQueue(kickOffPlaces, 1, maxKickOffs),
		fileReads:   make(chan struct{}, store.Cores()),
		basePath:    basePath, bodyTimeout: bodyTimeout}
	s.mount(s.exportRoutes())
	s.mount(s.pollRoutes())
	s.mount(s.binaryRoutes())
	s.mount(s.metadataRoutes())
	s.mount(s.healthRoutes())
	s.mount(s.metricsRoutes())
	s.mount(s.searchRoutes())
	s.mount([]route{s.notFoundRoute()})
	mux := http.NewServeMux()
	for _, r := range s.routes {
		mux.Handle(r.path, s.endpoint(r))
	}
	s.handler = s.middleware(canonicalPaths(mux, s.endpoint(s.notFoundRoute())))
	return s, nil
}

// Pools returns what the connections and the requests under way take of the server, by name:
// connections, memory (in bytes) and downloads.
func (s *Server) Pools() map[string]*share.Pool {
	return map[string]*share.Pool{"connections": s.connections, "memory": s.memory, "downloads": s.downloads}
}

// canonicalPaths passes requests whose target is not a canonical path to the handler
// notFound: CONNECT sends a host, other requests an asterisk, doubled slashes or dot
// segments. http.ServeMux would answer them itself, in plain text or with a redirect to a
// path that, behind a proxy, is not a public one.
func canonicalPaths(mux, notFound http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); strings.HasPrefix(p, "/") && (p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/")) {
			mux.ServeHTTP(w, r)
			return
		}
		notFound.ServeHTTP(w, r)
	})
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Drain prepares the shutdown of the server. From now on /readyz answers 503, and every answer
// closes its connection, so that a proxy sends new requests elsewhere. Requests are served as
// before.
func (s *Server) Drain() { s.draining.Store(true) }

// checkConfig checks that the required fields are set, and returns the path of the base
// URL.
func checkConfig(c Config) (string, error) {
	switch {
	case c.Exports == nil:
		return "", errors.New("server: Config.Exports is not set")
	case c.Searches == nil:
		return "", errors.New("server: Config.Searches is not set")
	case c.ParseExport == nil:
		return "", errors.New("server: Config.ParseExport is not set")
	case c.Registry == nil:
		return "", errors.New("server: Config.Registry is not set")
	case c.Logger == nil:
		return "", errors.New("server: Config.Logger is not set")
	case c.Now == nil:
		return "", errors.New("server: Config.Now is not set")
	}
	return CheckBaseURL(c.BaseURL)
}

// CheckBaseURL rejects a URL that cannot be the public base URL of a directory, and
// returns the path of a valid one: empty, or with a leading slash and no trailing slash. The error
// repeats nothing of the URL: a password can be in any part of one that is not valid.
func CheckBaseURL(text string) (basePath string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", errors.New("the base URL is not an absolute one: write an absolute URL such as https://directory.example.org/fhir")
	case u.User != nil:
		return "", errors.New("the base URL has a user or a password, which every client would see: remove it")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return "", errors.New("the base URL has a query or a fragment: end it with the path")
	case !isPort(u):
		return "", errors.New("the port of the base URL is not valid: write a number from 1 to 65535 without leading zeros, or omit it together with its colon")
	// Braces would be wildcards of a route, a trailing slash would be doubled, and no
	// client would send dot segments or doubled slashes unchanged.
	case strings.ContainsAny(u.Path, "{} ") || u.Path == "/" || u.Path != "" && path.Clean(u.Path) != u.Path:
		return "", errors.New("the base URL cannot be used: remove trailing slashes, braces, spaces and dot segments")
	}
	return u.Path, nil
}

// isPort reports whether the port of a URL is missing, or in the only form in which clients send
// it.
func isPort(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 && u.Port() == strconv.FormatUint(n, 10) || u.Port() == "" && !strings.HasSuffix(u.Host, ":")
}
