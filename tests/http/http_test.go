// Package http tests the server with transcripts: text files of requests and of facts
// about the responses, each with the ids of the requirements that it covers. README.md
// describes the format. The tests run each transcript in one process, against a server
// with a data directory on disk and a clock that only the transcript moves.
//
// A fact that does not hold is reported with file, line and the response. The transcript
// then continues, so that one run shows all errors.
package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/auth/scope"
	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/searchset"
	"muster/internal/server"
	"muster/internal/store"
	"muster/internal/store/sqlite"
	"muster/internal/testkit"
)

// base is the public base URL. No server listens there: the client of the transcripts
// connects to the server under test.
const base = "http://directory.example/fhir"

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".txt"), func(t *testing.T) {
			steps, err := readScript(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, file, steps)
		})
	}
}

func play(t *testing.T, file string, steps []step) {
	t.Helper()
	r := &runner{t: t, file: file, known: captures{"base": base}}
	for _, s := range steps {
		r.run(s)
	}
}

// TestRulesPage plays the transcripts of docs/rules.md. Other examples of the page are played by
// tests/rules.
func TestRulesPage(t *testing.T) {
	const page = "../../docs/rules.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	transcript := make([]string, len(lines)) // empty lines keep the numbers of the others
	found, inside := 0, false
	for n, line := range lines {
		switch {
		case line == "```transcript":
			found, inside = found+1, true
		case inside && line == "```":
			inside = false
			steps, err := parseScript(page, transcript)
			if err != nil {
				t.Fatal(err)
			}
			play(t, page, steps)
			clear(transcript)
		case inside:
			transcript[n] = line
		}
	}
	if found == 0 {
		t.Errorf("%s has no transcript", page)
	}
}

// runner runs one transcript with its server.
type runner struct {
	t     *testing.T
	file  string
	known captures

	clock     *testkit.Clock
	store     *sqlite.Store
	extractor *index.Extractor
	client    *http.Client
	from      netip.Addr // of the client; the default of the system if it is not valid
	principal auth.Principal
	gate      *gate
}

func (r *runner) fatalf(line int, format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf("%s:%d: %s", r.file, line, fmt.Sprintf(format, args...))
}

// run runs one step.
func (r *runner) run(s step) {
	r.t.Helper()
	if s.command == "start" {
		r.start(s)
		return
	}
	if r.client == nil {
		r.fatalf(s.line, "the first command of a transcript is start")
	}
	switch s.command {
	case "":
		r.request(s)
	case "load":
		f, err := os.Open(s.args[0])
		r.must(s, err)
		defer f.Close()
		r.load(s, s.args[0], f)
	case "put":
		r.load(s, "put", strings.NewReader(strings.Join(s.args, " ")))
	case "fill":
		r.load(s, "fill", strings.NewReader(r.repeat(s)))
	case "remove":
		r.remove(s)
	case "sweep":
		_, err := r.store.SweepRemovals(r.t.Context(), store.Sweep{
			Before: fhir.InstantOf(r.clock.Now()), Needs: func([]byte) fhir.Instant { return fhir.Forever },
		})
		r.must(s, err)
	case "wait":
		by, err := time.ParseDuration(strings.Join(s.args, ""))
		if err != nil {
			r.fatalf(s.line, "%v", err)
		}
		r.clock.Add(by)
	case "from":
		address, err := netip.ParseAddr(strings.Join(s.args, ""))
		r.must(s, err)
		r.from = address
		r.client.CloseIdleConnections()
	case "as":
		r.principal = auth.Of("https://issuer.example", s.args[0])
		r.principal.Grants = scope.Default().Grants(s.args[1:])
	case "hold":
		r.gate.close()
	case "finish":
		r.finish(s)
	case "fail":
		now := fhir.InstantOf(r.clock.Now())
		if err := r.store.Fail(r.t.Context(), r.known["job"], strings.Join(s.args, " "), now, now+fhir.Instant(24*time.Hour/time.Millisecond)); err != nil {
			r.fatalf(s.line, "%v", err)
		}
	}
}

// start starts a server on a new data directory.
func (r *runner) start(s step) {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "data")
	r.clock = testkit.NewClock(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))
	registry, err := conformance.Load()
	r.must(s, err)
	r.extractor, err = index.NewExtractor(registry, base)
	r.must(s, err)
	r.store, err = sqlite.Open(r.t.Context(), dir, store.Options{Now: r.clock.Now, Create: &store.Identity{
		BaseURL: base, Mode: "authoritative", DefinitionsHash: registry.DefinitionsHash(),
	}})
	r.must(s, err)
	r.t.Cleanup(func() { _ = r.store.Close() })
	blobs, err := blob.NewFolder(filepath.Join(dir, sqlite.FilesFolder))
	r.must(s, err)
	r.t.Cleanup(func() { _ = blobs.Close() })

	zone, err := time.LoadLocation("Australia/Sydney")
	r.must(s, err)
	compiler := search.New(registry, base, zone)
	exports := export.Config{
		Store: r.store, Blobs: blobs, Compiler: compiler, BaseURL: base, Zone: zone, Now: r.clock.Now,
		Logger: slog.New(slog.DiscardHandler), PollLimit: export.PollEnforce, PollInterval: 2 * time.Minute,
		JobsPerPrincipal: export.DefaultJobsPerPrincipal, MembershipBytes: export.DefaultMembershipBytes,
		Rules: export.DefaultRules(), Suppressed: policy.SuppressedRules{Search: true, Local: true},
	}
	searches := searchset.Config{
		Store: r.store, Compiler: compiler, Registry: registry, BaseURL: base, Now: r.clock.Now,
		Rules: policy.SearchRules{RequireSubstantive: true},
	}
	config := server.Config{
		Registry: registry, BaseURL: base, Version: "test", Logger: slog.New(slog.DiscardHandler), Now: r.clock.Now,
		PostDownload: true, TrackMembership: true, StrictAccept: true, RequestIDStrict: true,
	}
	for _, option := range s.args {
		if err := setOption(option, &exports, &searches, &config); err != nil {
			r.fatalf(s.line, "%v", err)
		}
	}
	searches.Suppressed = exports.Suppressed // one option for both
	if config.Authenticator != nil {
		config.Authenticator = r
	}
	service := export.New(exports)
	config.Exports, config.ParseExport = service, service.ParseRequest
	config.Searches = searchset.New(searches)
	handler, err := server.New(config)
	r.must(s, err)
	r.gate = newGate(r.t)
	r.background(service.Run)
	r.serve(handler)
}

// Authenticate implements [auth.Authenticator]: the token of each request is that of the command as.
func (r *runner) Authenticate(context.Context, string, func() error) (auth.Principal, error) {
	return r.principal, nil
}

func (r *runner) must(s step, err error) {
	r.t.Helper()
	if err != nil {
		r.fatalf(s.line, "%v", err)
	}
}

// setOption applies an option NAME=VALUE.
func setOption(option string, exports *export.Config, searches *searchset.Config, config *server.Config) (err error) {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "poll":
		exports.PollLimit = export.PollLimit(value)
	case "interval":
		exports.PollInterval, err = time.ParseDuration(value)
	case "jobs":
		exports.JobsPerPrincipal, err = strconv.Atoi(value)
	case "part-bytes":
		exports.PartBytes, err = strconv.ParseInt(value, 10, 64)
	case "page-life":
		searches.PageLife, err = time.ParseDuration(value)
	case "substantive":
		searches.Rules.RequireSubstantive = value != "off"
	case "suppressed":
		exports.Suppressed.Search = value != "off"
	case "removal-list":
		exports.Rules.RemovalList = export.RemovalList(strings.TrimSuffix(value, "off"))
	case "membership":
		config.TrackMembership = value != "off"
	case "exposed":
		exports.Suppressed.Local = value != "yes"
	case "tokens":
		config.Authenticator = (*runner)(nil) // start sets it
	case "post":
		config.PostDownload = value != "off"
	case "accept":
		config.StrictAccept = value != "lenient"
	case "request-id":
		config.RequestIDStrict = value != "lenient"
	default:
		return fmt.Errorf("there is no option %q", name)
	}
	return err
}

// background runs the workers of the service until the test ends.
func (r *runner) background(run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	r.t.Cleanup(func() {
		r.gate.open()
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			r.t.Errorf("the workers ended with %v", err)
		}
	})
}

// serve starts the server and a client that connects to it for the base URL.
func (r *runner) serve(handler *server.Server) {
	s := httptest.NewUnstartedServer(handler)
	s.Listener = handler.Listen(s.Config, s.Listener, nil)
	s.Start()
	r.t.Cleanup(s.Close)
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			from := &net.Dialer{}
			if r.from.IsValid() {
				from.LocalAddr = &net.TCPAddr{IP: r.from.AsSlice()}
			}
			return from.DialContext(ctx, network, s.Listener.Addr().String())
		},
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	r.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// load loads resources into the directory.
func (r *runner) load(s step, name string, lines io.Reader) {
	r.t.Helper()
	summary, err := load.Run(r.t.Context(), load.Config{Directory: r.store, Extractor: r.extractor}, []load.Input{load.FromReader(name, lines)})
	r.must(s, err)
	if summary.RefusedTotal() > 0 || summary.Read == 0 {
		r.fatalf(s.line, "%+v", summary)
	}
}

// repeat returns copies of a resource with the numbers 001, 002, … in place of {n}.
func (r *runner) repeat(s step) string {
	r.t.Helper()
	count, err := strconv.Atoi(s.args[0])
	r.must(s, err)
	var lines strings.Builder
	for n := range count {
		lines.WriteString(strings.ReplaceAll(strings.Join(s.args[1:], " "), "{n}", fmt.Sprintf("%03d", n+1)) + "\n")
	}
	return lines.String()
}

// remove removes a resource from the directory.
func (r *runner) remove(s step) {
	r.t.Helper()
	name, id, _ := strings.Cut(s.args[0], "/")
	t, _ := fhir.ParseType(name)
	outcomes, err := r.store.Apply(r.t.Context(), []store.Change{{Type: t, ID: id, Remove: true}})
	r.must(s, err)
	if outcomes[0] != store.Removed {
		r.fatalf(s.line, "%s does not exist", s.args[0])
	}
}

// finish opens the gate and waits until the job has ended. It checks the job whenever the
// work reports progress.
func (r *runner) finish(s step) {
	r.t.Helper()
	name := "job"
	if len(s.args) > 0 {
		name = s.args[0]
	}
	r.gate.open()
	for {
		job, err := r.store.Job(r.t.Context(), r.known[name])
		r.must(s, err)
		if !job.State.Live() {
			return
		}
		select {
		case <-r.gate.progress:
		case <-time.After(30 * time.Second):
			r.fatalf(s.line, "the export %s did not end: %+v", job.ID, job)
		}
	}
}

// gate blocks the work of exports and reports its progress.
type gate struct {
	mu       sync.Mutex
	closed   chan struct{} // nil when open
	progress chan struct{}
}

func newGate(t *testing.T) *gate {
	g := &gate{progress: make(chan struct{}, 1)}
	t.Cleanup(failpoint.Arm("export.selecting", func(ctx context.Context) error {
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed == nil {
			return nil
		}
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}))
	for _, point := range []string{"export.writing", "export.finished"} {
		t.Cleanup(failpoint.Arm(point, func(context.Context) error {
			select {
			case g.progress <- struct{}{}:
			default:
			}
			return nil
		}))
	}
	return g
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

// request sends a request and checks the facts.
func (r *runner) request(s step) {
	r.t.Helper()
	body, headers, err := s.content(r.known.fill)
	r.must(s, err)
	target := r.known.fill(s.target)
	if strings.HasPrefix(target, "/") {
		target = strings.TrimSuffix(base, "/fhir") + target
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	q, err := http.NewRequestWithContext(r.t.Context(), s.method, target, content)
	r.must(s, err)
	for _, h := range headers {
		if !slices.ContainsFunc(s.headers, func(own header) bool { return strings.EqualFold(own.name, h.name) }) {
			q.Header.Add(h.name, h.value)
		}
	}
	for _, h := range s.headers {
		if h.value != "" {
			q.Header.Add(h.name, r.known.fill(h.value))
		}
	}
	if r.principal.ID != "" {
		q.Header.Set("Authorization", "Bearer "+r.principal.Client)
	}
	response, err := r.client.Do(q)
	r.must(s, err)
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	r.must(s, err)
	a := &answer{Response: response, body: string(read), raw: len(read), known: r.known}
	for _, f := range append(s.facts, a.implied(q)...) {
		if err := a.check(f); err != nil {
			r.t.Errorf("%s:%d: %s %s %v: %v\nthe response is %s\n%s", r.file, max(f.line, s.line), s.method, target, s.req, err, response.Status, shorten(string(read)))
			if f.about == "status" {
				return // the other facts are about a response with another status
			}
		}
	}
}

func shorten(text string) string {
	if len(text) > 2000 {
		return text[:2000] + "…"
	}
	return text
}
