package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"muster/internal/audit"
	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/searchset"
)

// Exports is what the server asks of the bulk export: package export's Service.
// The client is the principal in the context.
type Exports interface {
	KickOff(ctx context.Context, r export.Request) (jobID string, err error)
	Poll(ctx context.Context, jobID string) (export.Status, error)
	Cancel(ctx context.Context, jobID string) error
	OpenFile(ctx context.Context, file string) (*export.File, error)
}

// Searches is what the server asks of search and read: package searchset's Service.
// The client is the principal in the context; rawQuery is the part of an address
// behind the question mark.
type Searches interface {
	Search(ctx context.Context, t fhir.Type, rawQuery string) (searchset.Answer, error)
	Page(ctx context.Context, rawQuery string) (searchset.Answer, error)
	Read(ctx context.Context, t fhir.Type, id, rawQuery string) (searchset.Resource, error)
}

// Recorder keeps the record of who asked for what: package audit's File.
type Recorder interface{ Record(audit.Event) }

// Observer counts what happens. Its methods are called by many goroutines at once.
type Observer interface {
	// Request is called after the last byte. Route is the pattern of a path, never a path.
	Request(route, method string, status int, took time.Duration, sent int64)
	// Refused is called for what a limit of clients refuses: [RefusedPoll] and its like.
	Refused(what string)
}

// What Observer.Refused is told of.
const (
	RefusedPoll     = "poll"     // came too early
	RefusedRate     = "rate"     // too many requests
	RefusedDownload = "download" // too many downloads at once
	RefusedSearch   = "search"   // too many searches at once
	RefusedJob      = "job"      // too many exports at once
)

// Config is what a server is made of. All fields without "optional" are needed.
type Config struct {
	Exports  Exports
	Searches Searches
	// ParseExport reads the body of a kick-off of the principal in ctx; its errors are fhir.Issues.
	ParseExport func(ctx context.Context, body []byte) (export.Request, error)
	Registry    *conformance.Registry
	BaseURL     string // public address of the FHIR API, without a slash at the end
	Version     string // of the program, for the CapabilityStatement
	Logger      *slog.Logger
	Now         func() time.Time

	// Ready tells whether requests can be served, for /readyz. Optional.
	Ready func(ctx context.Context) error

	// Limits of requests and clients; see [Limits] for the defaults.
	Limits Limits
	// Audit is given one event for each request, after its last byte (AD-01). Optional.
	Audit Recorder
	// Observer is told of each request, for numbers. Optional.
	Observer Observer
	// Metrics serves /metrics to this machine. Optional.
	Metrics http.Handler
	// BehindProxy takes the address of the client from the last X-Forwarded-For, which
	// the proxy in front has written. Without it the header means nothing.
	BehindProxy bool

	// PostDownload lets files be fetched by POST too, as the guide 0.3.0 has it (RE-02).
	PostDownload bool
	// StrictAccept refuses Accept: application/json where the guide wants
	// application/fhir+json (FM-01); without it both are taken (FM-03).
	StrictAccept bool
	// RequestIDStrict refuses an X-Request-ID that is not a UUID (HD-03); without
	// it such an id is replaced by one of ours.
	RequestIDStrict bool
}

// Server answers HTTP requests. Safe for use by several goroutines.
type Server struct {
	Config
	clients  *clients
	basePath string
	routes   []route
	handler  http.Handler
	bodyTime time.Duration
}

// New makes a server. Errors name the field of the configuration at fault.
func New(c Config) (*Server, error) {
	basePath, err := checkConfig(c)
	if err != nil {
		return nil, err
	}
	c.Limits = c.Limits.withDefaults()
	s := &Server{Config: c, clients: newClients(c.Limits, c.Now), basePath: basePath, bodyTime: bodyTime}
	s.mount(s.exportRoutes())
	s.mount(s.pollRoutes())
	s.mount(s.binaryRoutes())
	s.mount(s.metadataRoutes())
	s.mount(s.healthRoutes())
	s.mount(s.metricsRoutes())
	s.mount(s.searchRoutes())
	s.mount([]route{s.elsewhere()})
	mux := http.NewServeMux()
	for _, r := range s.routes {
		mux.Handle(r.path, s.endpoint(r))
	}
	s.handler = s.middleware(onlyPaths(mux, s.endpoint(s.elsewhere())))
	return s, nil
}

// onlyPaths sends requests elsewhere whose target is not a path in its shortest form:
// CONNECT names a host, others may have an asterisk, doubled slashes or dots. http.ServeMux
// would answer those itself, in plain text or with a redirection to a path that it makes up,
// which behind a proxy is none of ours.
func onlyPaths(mux, elsewhere http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); strings.HasPrefix(p, "/") && (p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/")) {
			mux.ServeHTTP(w, r)
			return
		}
		elsewhere.ServeHTTP(w, r)
	})
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// checkConfig returns the path of the base URL.
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

// CheckBaseURL refuses what cannot be the public base URL of a directory, and
// returns the path of one that can: empty, or with a slash before and none behind.
func CheckBaseURL(text string) (basePath string, err error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("the base URL %q is not the address of an API: write scheme, host and path, such as http://localhost:8080/fhir", text)
	}
	// Braces would be wildcards of a route, a slash at the end would double, and
	// dots or double slashes would never be asked for as they stand.
	if strings.ContainsAny(u.Path, "{} ") || u.Path == "/" || u.Path != "" && path.Clean(u.Path) != u.Path {
		return "", fmt.Errorf("the base URL %q cannot be used: leave out the slash at the end, braces and spaces", text)
	}
	return u.Path, nil
}
