package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// auditChannel is an audit log that lets a test wait for events: a client may receive its
// response shortly before the event is written.
type auditChannel chan audit.Event

func (c auditChannel) Record(e audit.Event) { c <- e }

func (c auditChannel) RecordRefused(_, _ string, e audit.Event) { c <- e }

func (c auditChannel) next(t *testing.T) audit.Event {
	t.Helper()
	select {
	case e := <-c:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event was recorded")
		return audit.Event{}
	}
}

// newExportParser returns the parser that the program uses.
func newExportParser(t testing.TB) func(ctx context.Context, body []byte) (export.Request, error) {
	t.Helper()
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	compiler := search.New(registry, base, time.UTC)
	return func(_ context.Context, body []byte) (export.Request, error) {
		return export.ParseRequest(body, compiler, export.DefaultRules(), policy.FullAccess())
	}
}

const validKickOff = `{"resourceType":"Parameters","parameter":[
	{"name":"_outputFormat","valueString":"application/fhir+ndjson"},
	{"name":"_type","valueString":"Practitioner"},
	{"name":"_typeFilter","valueString":"Practitioner?family=Smith"},
	{"name":"_since","valueInstant":"2026-01-01T00:00:00+11:00"}]}`

// TestRequestsAreAudited sends each kind of request and checks its event.
func TestRequestsAreAudited(t *testing.T) {
	t.Attr("requirements", "AD-01 AD-02 AU-05")
	const poll = "/api/v1/fhir/$export-poll-status?_jobId=" + knownJob
	text := ndjsonOfSize(3)
	lines := int64(strings.Count(text, "\n"))
	events := make(auditChannel, 10)
	u := startServer(t, func(c *Config) {
		c.Audit, c.ParseExport = events, newExportParser(t)
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("n 1\n")) })
		c.Ready = func(context.Context) error { return errors.New("the database is down") }
	})
	u.fake.file = storedFile(t, text)
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   export.Status
		want                     audit.Event
	}{
		{name: "kick-off", method: "POST", path: "/api/v1/fhir/$export", body: validKickOff, headers: []string{"Content-Type: application/fhir+json", "Prefer: respond-async"},
			want: audit.Event{Interaction: audit.KickOff, Status: 202, Job: knownJob, Since: "2025-12-31T13:00:00.000Z"}},
		{name: "refused kick-off", method: "POST", path: "/api/v1/fhir/$export", body: "{}", headers: []string{"Content-Type: application/fhir+json", "Prefer: respond-async"},
			want: audit.Event{Interaction: audit.KickOff, Status: 400, Issue: "invalid"}},
		{name: "poll", method: "GET", path: poll, status: export.Status{State: store.Writing, RetryAfter: 1, Progress: "p"},
			want: audit.Event{Interaction: audit.Poll, Status: 202, Job: knownJob}},
		{name: "poll too early", method: "GET", path: poll, status: export.Status{State: store.Writing, RetryAfter: 1, Progress: "p", Throttled: true},
			want: audit.Event{Interaction: audit.Poll, Status: 429, Issue: "throttled", Job: knownJob}},
		{name: "manifest", method: "GET", path: poll, status: export.Status{State: store.Complete, RetryAfter: 1, Progress: "p", Manifest: []byte("{}"), Total: 7},
			want: audit.Event{Interaction: audit.Poll, Status: 200, Job: knownJob, Resources: 7, Bytes: 2}},
		{name: "cancel", method: "DELETE", path: poll, want: audit.Event{Interaction: audit.Cancel, Status: 202, Job: knownJob}},
		{name: "download", method: "GET", path: "/api/v1/fhir/Binary/" + knownFile, headers: []string{"Authorization: Bearer eyJsecret", "Cookie: secret=1"},
			want: audit.Event{Interaction: audit.Download, Status: 200, File: knownFile, Resources: lines, Bytes: int64(len(text))}},
		{name: "part of a download", method: "GET", path: "/api/v1/fhir/Binary/" + knownFile, headers: []string{"Range: bytes=0-9"},
			want: audit.Event{Interaction: audit.Download, Status: 206, File: knownFile, Resources: lines, Bytes: 10}},
		{name: "unknown file", method: "GET", path: "/api/v1/fhir/Binary/no", want: audit.Event{Interaction: audit.Download, Status: 404, File: "no", Issue: "not-found"}},
		{name: "failed health check", method: "GET", path: "/readyz", want: audit.Event{Interaction: audit.Health, Status: 503, Issue: "transient"}},
		{name: "wrong method for metrics", method: "POST", path: "/metrics", want: audit.Event{Interaction: audit.Other, Status: 405, Issue: "not-supported"}},
		{name: "capabilities", method: "GET", path: "/api/v1/fhir/metadata?_format=json", want: audit.Event{Interaction: audit.Capabilities, Status: 200}},
		{name: "token in the URL", method: "GET", path: "/api/v1/fhir/metadata?access_token=eyJsecret", want: audit.Event{Interaction: audit.Capabilities, Status: 400, Issue: "not-supported"}},
		{name: "search", method: "GET", path: "/api/v1/fhir/Practitioner?family=Smith&access_token=eyJsecret",
			want: audit.Event{Interaction: audit.SearchType, Status: 200, Resources: 1, Bytes: 25, Query: "family=Smith&access_token=…"}},
		{name: "page", method: "GET", path: "/api/v1/fhir/?_getpages=abc",
			want: audit.Event{Interaction: audit.SearchType, Status: 200, Resources: 1, Bytes: 25, Query: "_getpages=abc"}},
		{name: "read", method: "GET", path: "/api/v1/fhir/Practitioner/1", want: audit.Event{Interaction: audit.Read, Status: 200, Resources: 1, Bytes: 31}},
		{name: "read of an unknown id", method: "GET", path: "/api/v1/fhir/Practitioner/2", want: audit.Event{Interaction: audit.Read, Status: 404, Issue: "not-found"}},
		{name: "unknown path", method: "GET", path: "/favicon.ico?token=eyJsecret", want: audit.Event{Interaction: audit.Other, Status: 404, Issue: "not-supported"}},
		{name: "wrong method", method: "PUT", path: poll, want: audit.Event{Interaction: audit.Other, Status: 405, Issue: "not-supported"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u.t, u.fake.status = t, c.status
			r := u.request(c.method, c.path, c.body, append(c.headers, "X-Request-ID: "+requestID)...)
			got := events.next(t)
			if c.name == "kick-off" && (len(got.Filters) != 1 || !strings.HasPrefix(got.Filters[0], "Practitioner?family=Smith")) {
				t.Errorf("filters %q", got.Filters)
			}
			if got.Bytes != int64(len(r.body)) {
				t.Errorf("the event says %d bytes, the client got %d", got.Bytes, len(r.body))
			}
			if all, _ := json.Marshal(got); strings.Contains(string(all), "secret") {
				t.Errorf("the event holds a secret: %s", all)
			}
			c.want.Time, c.want.RequestID, c.want.Principal, c.want.Remote = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), requestID, "anonymous", "127.0.0.1"
			c.want.Method, c.want.Path = c.method, strings.Split(c.path, "?")[0]
			c.want.Filters, got.Filters = nil, nil
			if got.Status >= 400 {
				c.want.Bytes = got.Bytes
			}
			if got.Interaction == audit.Capabilities {
				c.want.Bytes = got.Bytes
			}
			if diff := gocmp.Diff(c.want, got, gocmp.FilterPath(func(p gocmp.Path) bool {
				return p.String() == "Job" && got.Interaction == audit.Download // the fake's own
			}, gocmp.Ignore())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// refusedAudit is an audit log that keeps the refused requests apart.
type refusedAudit struct {
	mu              sync.Mutex
	served, refused []string // paths; of a refused one, the client and the route too
}

func (a *refusedAudit) Record(e audit.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served = append(a.served, e.Path)
}

func (a *refusedAudit) RecordRefused(client, route string, e audit.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = append(a.refused, client+" "+route+" "+e.Path)
}

// TestRefusedRequestsAreApart checks which requests count as refused: all that were answered with an
// error, whether by a route, a limit, or because no route serves them. The path of a request without
// a route is cut.
func TestRefusedRequestsAreApart(t *testing.T) {
	t.Attr("requirements", "AD-01")
	log := &refusedAudit{}
	u := startServer(t, func(c *Config) {
		c.Audit = log
		c.Ready = func(context.Context) error { return errors.New("down") }
		c.Limits = Limits{URL: 1000}
		c.Metrics = http.NotFoundHandler()
	})
	served := []string{"/api/v1/fhir/metadata", "/api/v1/fhir/Practitioner/1", "/api/v1/fhir/Practitioner"}
	for _, path := range served {
		u.request("GET", path, "")
	}
	refused := []string{"/nowhere/" + strings.Repeat("x", 500), "/api/v1/fhir/Binary/a/b", "/api//v1", "/api/v1/fhir/Practitioner?a=" + strings.Repeat("x", 1000), "/readyz",
		"/api/v1/fhir/Practitioner/2", "/api/v1/fhir/metadata?_format=xml", "/api/v1/fhir/Binary/no"}
	for _, path := range refused {
		u.request("GET", path, "")
	}
	u.request("PUT", "/api/v1/fhir/metadata", "")
	u.request("POST", "/metrics", "")
	u.request("GET", "/api/v1/fhir/metadata", "", "X-Request-ID: x")
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 1, Progress: "p", Throttled: true}
	u.request("GET", "/api/v1/fhir/$export-poll-status?_jobId="+knownJob, "")
	u.Close() // waits for the requests, whose events are written after their answers, in any order
	slices.Sort(served)
	slices.Sort(log.served)
	if diff := gocmp.Diff(served, log.served); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}
	var want []string
	for _, event := range []string{"/ /nowhere/" + strings.Repeat("x", 64-len("/nowhere/")) + "…", "/ /api/v1/fhir/Binary/a/b", "/ /api//v1",
		"/api/v1/fhir/Practitioner /api/v1/fhir/Practitioner", "/readyz /readyz", "/api/v1/fhir/Practitioner/{id} /api/v1/fhir/Practitioner/2",
		"/api/v1/fhir/metadata /api/v1/fhir/metadata", "/api/v1/fhir/Binary/{id} /api/v1/fhir/Binary/no", "/api/v1/fhir/metadata /api/v1/fhir/metadata",
		"/metrics /metrics", "/api/v1/fhir/metadata /api/v1/fhir/metadata", "/api/v1/fhir/$export-poll-status /api/v1/fhir/$export-poll-status"} {
		want = append(want, "address 127.0.0.1 "+event)
	}
	slices.Sort(want)
	slices.Sort(log.refused)
	if diff := gocmp.Diff(want, log.refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

// TestProbesAreNotLogged checks that health checks and scrapes that succeed leave no event and no
// line in the log.
func TestProbesAreNotLogged(t *testing.T) {
	events := make(auditChannel, 10)
	u := startServer(t, func(c *Config) {
		c.Audit = events
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("n 1\n")) })
	})
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			u.wantStatus(u.request(method, path, ""), 200, "")
		}
	}
	u.wantStatus(u.request("GET", "/favicon.ico", ""), 404, fhir.CodeNotSupported)
	if got := events.next(t); got.Path != "/favicon.ico" || len(events) > 0 {
		t.Errorf("the first event is %+v, and %d follow", got, len(events))
	}
	u.Close() // waits for the requests, so the lines are written
	if log := u.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "/favicon.ico") {
		t.Errorf("the log is\n%s", log)
	}
}

// TestBrokenDownloadIsAudited downloads a damaged file: the event has the number of bytes
// sent, and is marked as broken.
func TestBrokenDownloadIsAudited(t *testing.T) {
	t.Attr("requirements", "AD-01")
	events := make(auditChannel, 1)
	u := startServer(t, func(c *Config) { c.Audit = events })
	text := ndjsonOfSize(threeFragments)
	u.fake.file = alteredFile(t, text, func(stored []byte) []byte {
		clear(stored[len(stored)/2:])
		return stored
	})
	r := u.request("GET", "/api/v1/fhir/Binary/"+knownFile, "")
	if r.err == nil {
		t.Fatalf("a damaged file was read completely: %d, %d of %d bytes", r.StatusCode, len(r.body), len(text))
	}
	if e := events.next(t); !e.Broken || e.Bytes == 0 || e.Bytes >= int64(len(text)) || e.Status != 200 {
		t.Errorf("the event is %+v", e)
	}
}

// TestAddressBehindProxy checks that only an address that a proxy has written is used, and that
// the limits use the same one.
func TestAddressBehindProxy(t *testing.T) {
	t.Attr("requirements", "AD-01 RL-04")
	here, elsewhere := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")
	for _, c := range []struct {
		behind          bool
		trusted         []netip.Prefix
		forwarded, want string
		unread          int
	}{
		{behind: true, forwarded: "10.0.0.1, 192.0.2.7", want: "192.0.2.7"},
		{behind: true, forwarded: "192.0.2.7", want: "192.0.2.7"},
		{behind: true, forwarded: "10.0.0.1, 192.0.2.7:1000", want: "192.0.2.7"},
		{behind: true, forwarded: "10.0.0.1, [2001:db8::1]:443", want: "2001:db8::1"},
		{behind: true, forwarded: "10.0.0.1, nonsense", want: "127.0.0.1", unread: 1},
		{behind: true, want: "127.0.0.1"},
		{behind: true, trusted: []netip.Prefix{here, elsewhere}, forwarded: "198.51.100.1, 192.0.2.7, 10.0.0.1", want: "192.0.2.7"},
		{behind: true, trusted: []netip.Prefix{elsewhere}, forwarded: "192.0.2.7", want: "127.0.0.1"},
		{behind: true, trusted: []netip.Prefix{elsewhere}, forwarded: "nonsense", want: "127.0.0.1"},
		{forwarded: "192.0.2.7", want: "127.0.0.1"},
		{forwarded: "nonsense", want: "127.0.0.1"},
	} {
		events, counts := make(auditChannel, 2), &countingObserver{}
		u := startServer(t, func(c2 *Config) {
			c2.Audit, c2.BehindProxy, c2.TrustedProxies, c2.Observer = events, c.behind, c.trusted, counts
		})
		var headers []string
		if c.forwarded != "" {
			headers = []string{"X-Forwarded-For: " + c.forwarded}
		}
		var counted client.Client
		u.fake.inspect = func(ctx context.Context) { counted = client.From(ctx) }
		u.request("POST", "/api/v1/fhir/$export", parameters, append(headers, "Content-Type: application/json", "Prefer: respond-async")...)
		if got := events.next(t).Remote; got != c.want {
			t.Errorf("behind %t, X-Forwarded-For %q: remote %q, want %q", c.behind, c.forwarded, got, c.want)
		}
		if want := client.Of(auth.Anonymous, netip.MustParseAddr(c.want)); counted != want {
			t.Errorf("behind %t, X-Forwarded-For %q counts for %v, want %v", c.behind, c.forwarded, counted, want)
		}
		u.request("GET", "/api/v1/fhir/metadata", "", headers...)
		u.Close()
		if counts.unread != 2*c.unread || strings.Count(u.log.String(), "is not an address") != c.unread {
			t.Errorf("X-Forwarded-For %q was counted %d times, and the log is\n%s", c.forwarded, counts.unread, u.log)
		}
	}
}

// TestHeadersDoNotChangeTheClient checks that no header of a peer that is not trusted changes who
// its requests count for.
func TestHeadersDoNotChangeTheClient(t *testing.T) {
	config := testConfig(t, &fakeExports{})
	config.BehindProxy, config.TrustedProxies = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	proxied, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	config.BehindProxy = false
	direct, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "X-Client-Ip", "Via", "Host", "True-Client-Ip"}
	entries := []string{"10.0.0.1", "192.0.2.7", "192.0.2.7:80", "[2001:db8::1]", "for=192.0.2.7", "nonsense", "", "127.0.0.1", `"10.0.0.1"`}
	rapid.Check(t, func(t *rapid.T) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = rapid.SampledFrom([]string{"203.0.113.9:1", "[2001:db8:9::9]:1", "[::ffff:203.0.113.9]:1", "@"}).Draw(t, "peer")
		var plain, spoofed requestState
		for _, s := range []*Server{direct, proxied} {
			s.locate(r, &plain)
			with := r.Clone(r.Context())
			for range rapid.IntRange(1, 5).Draw(t, "fields") {
				list := rapid.SliceOfN(rapid.SampledFrom(entries), 1, 4).Draw(t, "list")
				with.Header.Add(rapid.SampledFrom(names).Draw(t, "name"), strings.Join(list, ", "))
			}
			s.locate(with, &spoofed)
			if spoofed.address != plain.address || spoofed.event.Remote != plain.event.Remote {
				t.Fatalf("%v counts for %v (%s), without its headers for %v (%s)", with.Header, spoofed.address, spoofed.event.Remote, plain.address, plain.event.Remote)
			}
		}
	})
}

// TestAuditFile records events in a file, whose lines are JSON.
func TestAuditFile(t *testing.T) {
	t.Attr("requirements", "AD-01")
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := audit.Open(path, audit.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	u := startServer(t, func(c *Config) { c.Audit = file })
	u.request("GET", "/api/v1/fhir/metadata", "", "X-Request-ID: "+requestID)
	u.Close() // waits for the requests, so the event is written
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var event map[string]any
	lines := bufio.NewScanner(log)
	for range 2 { // the first line says that the log begins
		lines.Scan()
	}
	if json.Unmarshal(lines.Bytes(), &event) != nil {
		t.Fatalf("no event after the beginning of the log: %q", lines.Text())
	}
	if event["requestId"] != requestID || event["interaction"] != "capabilities" || event["status"] != float64(200) {
		t.Errorf("the event is %v", event)
	}
}
