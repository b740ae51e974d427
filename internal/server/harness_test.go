package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/damage"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/searchset"
	"muster/internal/store"
	"muster/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// The ids of fakeExports.
const (
	requestID  = "0b6ff2c4-1c60-4b0e-9d1b-6a2f0c6f9a01"
	knownJob   = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a1111"
	deletedJob = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a2222"
	unknownJob = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a3333"
	expiredJob = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a5555"
	knownFile  = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a4444"
)

// fakeExports returns the configured results and records its calls.
type fakeExports struct {
	status   export.Status
	err      error // returned by all calls if set
	file     func() (*export.File, error)
	kickOffs int
	polled   []string
	inspect  func(ctx context.Context)
}

func (f *fakeExports) KickOff(ctx context.Context, _ export.Request) (string, error) {
	if f.inspect != nil {
		f.inspect(ctx)
	}
	if f.err != nil {
		return "", f.err
	}
	f.kickOffs++
	return knownJob, nil
}

func (f *fakeExports) Poll(_ context.Context, job string) (export.Status, error) {
	f.polled = append(f.polled, job)
	if f.err != nil {
		return export.Status{}, f.err
	}
	if job != knownJob {
		return export.Status{}, store.ErrNotFound
	}
	return f.status, nil
}

func (f *fakeExports) Cancel(_ context.Context, job string) error {
	switch {
	case f.err != nil:
		return f.err
	case job == deletedJob:
		return export.ErrAlreadyDeleted
	case job == expiredJob:
		return export.ErrExpired
	case job != knownJob:
		return store.ErrNotFound
	}
	return nil
}

func (f *fakeExports) OpenFile(_ context.Context, file string) (*export.File, error) {
	if f.err != nil {
		return nil, f.err
	}
	if file != knownFile || f.file == nil {
		return nil, store.ErrNotFound
	}
	return f.file()
}

// fakeSearches has one Practitioner, "1", and finds it with each search.
type fakeSearches struct{ err error }

func (f fakeSearches) Search(context.Context, fhir.Type, string) (searchset.Answer, error) {
	return searchset.Answer{Body: []byte(`{"resourceType":"Bundle"}`), Resources: 1}, f.err
}

func (f fakeSearches) Page(ctx context.Context, _ fhir.Type, rawQuery string) (searchset.Answer, error) {
	return f.Search(ctx, 0, rawQuery)
}

func (f fakeSearches) Read(_ context.Context, t fhir.Type, id, _ string) (searchset.Resource, error) {
	if f.err == nil && (t != fhir.Practitioner || id != "1") {
		return searchset.Resource{}, searchset.ErrNotFound
	}
	return searchset.Resource{Body: []byte(`{"resourceType":"Practitioner"}`), Row: store.Row{Version: 3, LastUpdated: 1_800_000_000_000}}, f.err
}

// testServer is a running server with its log.
type testServer struct {
	*httptest.Server
	t    *testing.T
	fake *fakeExports
	log  *testkit.Log
}

// testConfig returns the configuration of a server with a minimal parser and without a
// log.
func testConfig(t testing.TB, fake *fakeExports) Config {
	t.Helper()
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Exports: fake, Searches: fakeSearches{},
		Registry: registry, BaseURL: base, Version: "1.2.3",
		ParseExport: func(_ context.Context, body []byte) (export.Request, error) {
			if !bytes.Contains(body, []byte("Parameters")) {
				return export.Request{}, fhir.Issues{{Code: fhir.CodeInvalid, Diagnostics: "not Parameters", Expression: "Parameters"}, {Code: fhir.CodeInvalid, Diagnostics: "and more"}}
			}
			return export.Request{}, nil
		},
		Logger:       slog.New(slog.DiscardHandler),
		Now:          func() time.Time { return time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC) },
		PostDownload: true, StrictAccept: true, RequestIDStrict: true,
	}
}

const base = "https://directory.example/api/v1/fhir"

func startServer(t *testing.T, change ...func(*Config)) *testServer {
	t.Helper()
	u := &testServer{t: t, fake: &fakeExports{}, log: &testkit.Log{}}
	config := testConfig(t, u.fake)
	config.Logger = slog.New(slog.NewJSONHandler(u.log, nil))
	for _, c := range change {
		c(&config)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	u.Server = httptest.NewUnstartedServer(s)
	u.Config.MaxHeaderBytes = s.Limits.HeaderBytes()
	u.Listener = s.Listen(u.Config, smallBuffers{u.Listener}, nil)
	u.Start()
	t.Cleanup(u.Close)
	return u
}

// smallBuffers is a listener whose connections have small buffers in the kernel: what a client does
// not read stays in the server.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		_ = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return c, err
}

// reply is a response with its body.
type reply struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// request sends a request to a path below the host. Headers are "Name: value" lines.
func (u *testServer) request(method, path, body string, headers ...string) reply {
	u.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(u.t.Context(), method, u.URL+path, content)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		u.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return reply{response, read, err}
}

// outcome parses an OperationOutcome and checks what all of them have: the type,
// severities, and the additional issue (ER-01, ER-03, ER-04).
func (u *testServer) outcome(r reply) []fhir.OutcomeIssue {
	u.t.Helper()
	if got := r.Header.Get("Content-Type"); got != fhirJSON {
		u.t.Errorf("%s %s: Content-Type of an error is %q", r.Request.Method, r.Request.URL, got)
	}
	var o struct {
		ResourceType string
		Issue        []fhir.OutcomeIssue
	}
	if err := json.Unmarshal(r.body, &o); err != nil || o.ResourceType != "OperationOutcome" || len(o.Issue) < 2 {
		u.t.Fatalf("%s %s: %d %q is not an OperationOutcome (%v)", r.Request.Method, r.Request.URL, r.StatusCode, r.body, err)
	}
	last := o.Issue[len(o.Issue)-1]
	want := fhir.OutcomeIssue{Severity: "information", Code: fhir.CodeInformational, Diagnostics: "X-Request-ID: " + r.Header.Get("X-Request-ID")}
	if diff := cmp.Diff(want, last); diff != "" {
		u.t.Errorf("the additional issue: %s", diff)
	}
	for _, i := range o.Issue[:len(o.Issue)-1] {
		if i.Severity != "error" || i.Code == "" || i.Diagnostics == "" {
			u.t.Errorf("issue %+v lacks something", i)
		}
	}
	return o.Issue[:len(o.Issue)-1]
}

// wantStatus checks the status and, from 400 on, the code of the first issue.
func (u *testServer) wantStatus(r reply, status int, code fhir.Code) {
	u.t.Helper()
	if r.StatusCode != status {
		u.t.Errorf("%s %s: status %d, want %d: %s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.body)
		return
	}
	if status >= 400 && r.Request.Method != http.MethodHead {
		if issues := u.outcome(r); issues[0].Code != code {
			u.t.Errorf("%s %s: code %s, want %s", r.Request.Method, r.Request.URL, issues[0].Code, code)
		}
	}
}

const parameters = `{"resourceType":"Parameters"}`

// countingObserver counts the events of [Observer].
type countingObserver struct {
	mu       sync.Mutex
	requests []string
	refused  map[string]int
	unread   int // calls of NotForwarded
	damaged  []damage.Kind
}

func (c *countingObserver) Damaged(kind damage.Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.damaged = append(c.damaged, kind)
}

func (c *countingObserver) Request(route, method string, status int, took time.Duration, sent int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, fmt.Sprint(method, " ", route, " ", status))
}

func (c *countingObserver) NotForwarded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread++
}

func (c *countingObserver) Refused(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]int{}
	}
	c.refused[what]++
}
