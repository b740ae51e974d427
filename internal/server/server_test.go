package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/part"
	"muster/internal/searchset"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// The ids that the fake knows.
const (
	requestID  = "0b6ff2c4-1c60-4b0e-9d1b-6a2f0c6f9a01"
	knownJob   = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a1111"
	deletedJob = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a2222"
	unknownJob = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a3333"
	knownFile  = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a4444"
)

// fakeExports answers as it is told and notes what it was asked.
type fakeExports struct {
	status  export.Status
	err     error // of every call, when set
	file    func() (*export.File, error)
	kicked  int
	asked   []string
	inspect func(ctx context.Context)
}

func (f *fakeExports) KickOff(ctx context.Context, _ export.Request) (string, error) {
	if f.inspect != nil {
		f.inspect(ctx)
	}
	if f.err != nil {
		return "", f.err
	}
	f.kicked++
	return knownJob, nil
}

func (f *fakeExports) Poll(_ context.Context, job string) (export.Status, error) {
	f.asked = append(f.asked, job)
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

// fakeSearches knows one Practitioner, "1", and finds it with every search.
type fakeSearches struct{ err error }

func (f fakeSearches) Search(context.Context, fhir.Type, string) (searchset.Answer, error) {
	return searchset.Answer{Body: []byte(`{"resourceType":"Bundle"}`), Resources: 1}, f.err
}

func (f fakeSearches) Page(ctx context.Context, rawQuery string) (searchset.Answer, error) {
	return f.Search(ctx, 0, rawQuery)
}

func (f fakeSearches) Read(_ context.Context, t fhir.Type, id, _ string) (searchset.Resource, error) {
	if f.err == nil && (t != fhir.Practitioner || id != "1") {
		return searchset.Resource{}, searchset.ErrNotFound
	}
	return searchset.Resource{Body: []byte(`{"resourceType":"Practitioner"}`), Row: store.Row{Version: 3, LastUpdated: 1_800_000_000_000}}, f.err
}

// under is a server in test with its log.
type under struct {
	*httptest.Server
	t    *testing.T
	fake *fakeExports
	log  *logBuffer
}

// logBuffer is a log that the test may read while requests run.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testConfig is a server that parses little and logs nothing.
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

func start(t *testing.T, change ...func(*Config)) *under {
	t.Helper()
	u := &under{t: t, fake: &fakeExports{}, log: &logBuffer{}}
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
	u.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	u.Start()
	t.Cleanup(u.Close)
	return u
}

// reply is an answer read to its end.
type reply struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// ask sends a request to a path below the host. Headers are "Name: value" lines.
func (u *under) ask(method, path, body string, headers ...string) reply {
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

// outcome reads an OperationOutcome and checks what all of them have: the type, a
// severity, the additional issue (ER-01, ER-03, ER-04).
func (u *under) outcome(r reply) []outcomeIssue {
	u.t.Helper()
	if got := r.Header.Get("Content-Type"); got != fhirJSON {
		u.t.Errorf("%s %s: Content-Type of an error is %q", r.Request.Method, r.Request.URL, got)
	}
	var o struct {
		ResourceType string
		Issue        []outcomeIssue
	}
	if err := json.Unmarshal(r.body, &o); err != nil || o.ResourceType != "OperationOutcome" || len(o.Issue) < 2 {
		u.t.Fatalf("%s %s: %d %q is not an OperationOutcome (%v)", r.Request.Method, r.Request.URL, r.StatusCode, r.body, err)
	}
	last := o.Issue[len(o.Issue)-1]
	want := outcomeIssue{Severity: "information", Code: fhir.CodeInformational, Diagnostics: "X-Request-ID: " + r.Header.Get("X-Request-ID")}
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

// expect checks status and, from 400 on, the code of the first issue.
func (u *under) expect(r reply, status int, code fhir.Code) {
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

func TestKickOff(t *testing.T) {
	asFHIR, async := "Content-Type: application/fhir+json", "Prefer: respond-async"
	for _, c := range []struct {
		req, name  string
		method     string
		path, body string
		headers    []string
		status     int
		code       fhir.Code
	}{
		{"KO-01 KO-50", "as the guide has it", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: application/fhir+json"}, 202, ""},
		{"KO-09", "escaped dollar", "POST", "/%24export", parameters, []string{asFHIR, async}, 202, ""},
		{"KO-02", "GET", "GET", "/$export", "", []string{async}, 405, fhir.CodeNotSupported},
		{"KO-03", "query", "POST", "/$export?_type=Location", parameters, []string{asFHIR, async}, 400, fhir.CodeInvalid},
		{"KO-03", "_format too", "POST", "/$export?_format=json", parameters, []string{asFHIR, async}, 400, fhir.CodeInvalid},
		{"KO-04", "no Prefer", "POST", "/$export", parameters, []string{asFHIR}, 400, fhir.CodeInvalid},
		{"KO-04", "another Prefer", "POST", "/$export", parameters, []string{asFHIR, "Prefer: return=minimal"}, 400, fhir.CodeInvalid},
		{"KO-04", "Prefer quoted in another", "POST", "/$export", parameters, []string{asFHIR, `Prefer: x="a, respond-async"`}, 400, fhir.CodeInvalid},
		{"KO-04", "Prefer among others", "POST", "/$export", parameters, []string{asFHIR, "Prefer: handling=lenient, Respond-Async; wait=5"}, 202, ""},
		{"KO-04", "Prefer repeated", "POST", "/$export", parameters, []string{asFHIR, "Prefer: handling=strict", async}, 202, ""},
		{"KO-53", "separate status is not offered", "POST", "/$export", parameters, []string{asFHIR, "Prefer: respond-async, separate-export-status"}, 202, ""},
		{"KO-05", "parameters of the media type", "POST", "/$export", parameters, []string{"Content-Type: Application/FHIR+json; charset=utf-8; fhirVersion=4.0", async}, 202, ""},
		{"KO-05", "UTF-8 in quotes", "POST", "/$export", parameters, []string{`Content-Type: application/fhir+json; Charset="UTF-8"`, async}, 202, ""},
		{"KO-05", "UTF-16", "POST", "/$export", parameters, []string{"Content-Type: application/fhir+json; charset=utf-16", async}, 415, fhir.CodeNotSupported},
		{"KO-05", "two charsets", "POST", "/$export", parameters, []string{"Content-Type: application/json;charset=latin1;charset=utf-8", async}, 415, fhir.CodeNotSupported},
		{"KO-05", "plain JSON", "POST", "/$export", parameters, []string{"Content-Type: application/json", async}, 202, ""},
		{"KO-05", "XML", "POST", "/$export", "<Parameters/>", []string{"Content-Type: application/fhir+xml", async}, 415, fhir.CodeNotSupported},
		{"KO-05", "no media type", "POST", "/$export", parameters, []string{async}, 415, fhir.CodeNotSupported},
		{"KO-05", "compressed", "POST", "/$export", parameters, []string{asFHIR, async, "Content-Encoding: gzip"}, 415, fhir.CodeNotSupported},
		{"KO-06", "any Accept", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: */*"}, 202, ""},
		{"KO-06", "plain JSON accepted", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: application/json"}, 202, ""},
		{"KO-06", "XML accepted only", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: application/fhir+xml"}, 406, fhir.CodeNotSupported},
		{"KO-06", "JSON ruled out", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: */*, application/fhir+json;q=0, application/json;q=0"}, 406, fhir.CodeNotSupported},
		{"KO-06", "FHIR JSON ruled out, any Accept", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: */*, application/fhir+json;q=0"}, 406, fhir.CodeNotSupported},
		{"KO-06", "FHIR JSON ruled out, plain JSON not", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: application/json, application/fhir+json;q=0"}, 406, fhir.CodeNotSupported},
		{"KO-08", "request id", "POST", "/$export", parameters, []string{asFHIR, async, "X-Request-ID: " + requestID}, 202, ""},
		{"KO-11", "no Parameters", "POST", "/$export", "{}", []string{asFHIR, async}, 400, fhir.CodeInvalid},
		{"KO-11", "no body", "POST", "/$export", "", []string{asFHIR, async}, 400, fhir.CodeInvalid},
		{"KO-38", "media before Prefer", "POST", "/$export?x=1", "", []string{"Accept: text/html", asFHIR}, 406, fhir.CodeNotSupported},
		{"", "too large", "POST", "/$export", strings.Repeat(" ", (1<<20)) + parameters, []string{asFHIR, async}, 413, fhir.CodeTooCostly},
		{"", "as large as may be", "POST", "/$export", parameters + strings.Repeat(" ", (1<<20)-len(parameters)), []string{asFHIR, async}, 202, ""},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := start(t)
			r := u.ask(c.method, "/api/v1/fhir"+c.path, c.body, c.headers...)
			u.expect(r, c.status, c.code)
			if c.status == 405 && r.Header.Get("Allow") != "POST" {
				t.Errorf("Allow: %q", r.Header.Get("Allow"))
			}
			if (c.status == 202) != (u.fake.kicked == 1) {
				t.Errorf("%d exports were started", u.fake.kicked)
			}
			if c.status != 202 {
				return
			}
			if got, want := r.Header.Get("Content-Location"), base+"/$export-poll-status?_jobId="+knownJob; got != want {
				t.Errorf("Content-Location: %q, want %q", got, want)
			}
			if len(r.body) != 0 || r.ContentLength != 0 || r.Header.Get("Preference-Applied") != "" {
				t.Errorf("body %q, length %d, Preference-Applied %q; want nothing", r.body, r.ContentLength, r.Header.Get("Preference-Applied"))
			}
		})
	}
}

// The client of a request is in its context.
func TestPrincipal(t *testing.T) {
	u := start(t)
	var got auth.Principal
	u.fake.inspect = func(ctx context.Context) {
		got = auth.From(ctx)
		if _, limited := ctx.Deadline(); !limited {
			t.Error("the request has no limit of time")
		}
	}
	u.expect(u.ask("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async"), 202, "")
	if got != auth.Anonymous {
		t.Errorf("principal %+v", got)
	}
}

func TestKickOffRefusals(t *testing.T) {
	u := start(t)
	kick := func() reply {
		return u.ask("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/fhir+json", "Prefer: respond-async")
	}
	t.Attr("requirements", "KO-52 RL-02")
	u.fake.err = export.TooManyJobs{RetryAfter: 30}
	r := kick()
	u.expect(r, 429, fhir.CodeThrottled)
	if got := r.Header.Get("Retry-After"); got != "30" {
		t.Errorf("Retry-After: %q, want 30", got)
	}
	t.Attr("requirements", "KO-25")
	u.fake.err = fhir.Issues{{Code: fhir.CodeNotSupported, Diagnostics: "Binary cannot be exported", Reason: fhir.TypeNotExportable}}
	u.expect(kick(), 403, fhir.CodeNotSupported)
	t.Attr("requirements", "KO-38")
	r = u.ask("POST", "/api/v1/fhir/$export", "{}", "Content-Type: application/fhir+json", "Prefer: respond-async")
	want := []outcomeIssue{
		{Severity: "error", Code: fhir.CodeInvalid, Diagnostics: "not Parameters", Expression: []string{"Parameters"}},
		{Severity: "error", Code: fhir.CodeInvalid, Diagnostics: "and more"},
	}
	if diff := cmp.Diff(want, u.outcome(r)); diff != "" {
		t.Error(diff)
	}
}

func TestPoll(t *testing.T) {
	expires := fhir.InstantOf(time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC))
	running := export.Status{State: store.Writing, RetryAfter: 60, Progress: "Search in progress - found 954 of 1,000 resources"}
	early := running
	early.Throttled, early.RetryAfter = true, 41
	for _, c := range []struct {
		req, name string
		status    export.Status
		err       error
		query     string
		headers   []string
		want      int
		code      fhir.Code
		wait      string
		progress  string
	}{
		{"PO-02 PO-03 PO-04 PO-05", "running", running, nil, "?_jobId=" + knownJob, nil, 202, "", "60", running.Progress},
		{"PO-01", "Accept of the guide", running, nil, "?_jobId=" + knownJob, []string{"Accept: application/json"}, 202, "", "60", running.Progress},
		{"PO-01", "FHIR JSON", running, nil, "?_jobId=" + knownJob, []string{"Accept: application/fhir+json"}, 202, "", "60", running.Progress},
		{"PO-06 PO-13", "complete", export.Status{State: store.Complete, RetryAfter: 1, Progress: "Export complete", Manifest: []byte(`{"output":[]}`), Expires: expires}, nil, "?_jobId=" + knownJob, []string{"Accept: application/fhir+json"}, 200, "", "1", "Export complete"},
		{"PO-07", "no job", running, nil, "", nil, 400, fhir.CodeInvalid, "120", "No status"},
		{"PO-07", "empty job", running, nil, "?_jobId=", nil, 400, fhir.CodeInvalid, "120", "No status"},
		{"PO-07", "two jobs", running, nil, "?_jobId=" + knownJob + "&_jobId=" + knownJob, nil, 400, fhir.CodeInvalid, "120", "No status"},
		{"PO-07", "more parameters", running, nil, "?_format=json&_jobId=" + knownJob, nil, 202, "", "60", running.Progress},
		{"PO-08", "unknown job", running, nil, "?_jobId=" + unknownJob, nil, 404, fhir.CodeNotFound, "120", "No such job"},
		{"PO-08", "malformed job", running, nil, "?_jobId=%00..%2F", nil, 404, fhir.CodeNotFound, "120", "No such job"},
		{"PO-09", "cancelled", export.Status{State: store.Cancelled}, nil, "?_jobId=" + knownJob, nil, 404, fhir.CodeNotFound, "120", "No such job"},
		{"PO-10 RL-01 RL-02", "too early", early, nil, "?_jobId=" + knownJob, nil, 429, fhir.CodeThrottled, "41", running.Progress},
		{"PO-11", "failed", export.Status{State: store.Failed, RetryAfter: 1, Progress: "Export failed", Reason: "the disk is full"}, nil, "?_jobId=" + knownJob, nil, 500, fhir.CodeException, "1", "Export failed"},
		{"PO-12", "trouble here", running, errors.New("database is locked"), "?_jobId=" + knownJob, nil, 503, fhir.CodeTransient, "120", "No status"},
		{"PO-02 HD-03", "bad request id", running, nil, "?_jobId=" + knownJob, []string{"X-Request-ID: 1"}, 400, fhir.CodeInvalid, "120", "No status"},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := start(t)
			u.fake.status, u.fake.err = c.status, c.err
			r := u.ask("GET", "/api/v1/fhir/$export-poll-status"+c.query, "", c.headers...)
			u.expect(r, c.want, c.code)
			if r.Header.Get("Retry-After") != c.wait || r.Header.Get("X-Progress") != c.progress {
				t.Errorf("Retry-After %q, X-Progress %q; want %q, %q", r.Header.Get("Retry-After"), r.Header.Get("X-Progress"), c.wait, c.progress)
			}
			switch c.want {
			case 202:
				if r.ContentLength != 0 || len(r.body) != 0 {
					t.Errorf("body %q, length %d", r.body, r.ContentLength)
				}
			case 200:
				if got := r.Header.Get("Content-Type"); got != "application/json" || string(r.body) != `{"output":[]}` {
					t.Errorf("%s %s", got, r.body)
				}
				if got := r.Header.Get("Expires"); got != "Mon, 02 Mar 2026 09:30:00 GMT" {
					t.Errorf("Expires: %q", got)
				}
			}
			if c.err != nil && (bytes.Contains(r.body, []byte("locked")) || !strings.Contains(u.log.String(), "locked")) {
				t.Errorf("the cause belongs into the log and not into the answer: %s", r.body)
			}
			if c.status.State == store.Failed && !bytes.Contains(r.body, []byte("the disk is full")) {
				t.Errorf("the reason is missing: %s", r.body)
			}
		})
	}
	t.Run("POST", func(t *testing.T) {
		t.Attr("requirements", "PO-16")
		u := start(t)
		r := u.ask("POST", "/api/v1/fhir/$export-poll-status?_jobId="+knownJob, "")
		u.expect(r, 405, fhir.CodeNotSupported)
		if got := r.Header.Get("Allow"); got != "DELETE, GET, HEAD" {
			t.Errorf("Allow: %q", got)
		}
	})
	t.Run("escaped dollar", func(t *testing.T) {
		u := start(t)
		u.fake.status = running
		u.expect(u.ask("GET", "/api/v1/fhir/%24export-poll-status?_jobId="+knownJob, ""), 202, "")
	})
}

func TestCancel(t *testing.T) {
	for _, c := range []struct {
		req, name, query string
		headers          []string
		want             int
		code             fhir.Code
	}{
		{"DE-01 DE-02 DE-08", "known", "?_jobId=" + knownJob, nil, 202, ""},
		{"DE-08", "with Accept", "?_jobId=" + knownJob, []string{"Accept: application/fhir+json"}, 202, ""},
		{"DE-04", "unknown", "?_jobId=" + unknownJob, nil, 400, fhir.CodeInvalid},
		{"DE-04", "deleted", "?_jobId=" + deletedJob, nil, 404, fhir.CodeNotFound},
		{"DE-06", "no job", "", nil, 400, fhir.CodeInvalid},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := start(t)
			r := u.ask("DELETE", "/api/v1/fhir/$export-poll-status"+c.query, "", c.headers...)
			u.expect(r, c.want, c.code)
			if c.want == 202 && (len(r.body) != 0 || r.ContentLength != 0) {
				t.Errorf("body %q, length %d", r.body, r.ContentLength)
			}
			if c.name == "unknown" && !bytes.Contains(r.body, []byte("Endpoint artefact not found for the provided job ID.")) {
				t.Errorf("not the guide's words: %s", r.body)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	for _, c := range []struct {
		req, name, query, accept string
		lenient                  bool
		want                     int
	}{
		{"FM-03", "no Accept", "", "", false, 200},
		{"FM-01 FM-03", "FHIR JSON", "", "application/fhir+json; fhirVersion=4.0; q=0.5", false, 200},
		{"FM-03", "any", "", "text/html, */*;q=0.1", false, 200},
		{"FM-03", "any application", "", "application/*", false, 200},
		{"FM-01 FM-03", "plain JSON", "", "application/json", false, 406},
		{"FM-03", "plain JSON, lenient", "", "application/json", true, 200},
		{"FM-03", "FHIR JSON ruled out", "", "*/*, application/fhir+json;q=0", false, 406},
		{"FM-03", "FHIR JSON ruled out, lenient", "", "application/json, application/fhir+json;q=0", true, 406},
		{"FM-01 FM-02", "XML", "", "application/fhir+xml", false, 406},
		{"FM-04", "_format short", "?_format=json", "text/html", false, 200},
		{"FM-04", "_format long", "?_format=application/fhir%2Bjson", "", false, 200},
		{"FM-04", "_format with a plus", "?_format=application/fhir+json", "", false, 200},
		{"FM-04", "_format other", "?_format=xml", "", false, 406},
		{"FM-04", "_pretty", "?_pretty=true", "", false, 200},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := start(t, func(o *Config) { o.StrictAccept = !c.lenient })
			headers := []string{}
			if c.accept != "" {
				headers = append(headers, "Accept: "+c.accept)
			}
			r := u.ask("GET", "/api/v1/fhir/metadata"+c.query, "", headers...)
			u.expect(r, c.want, fhir.CodeNotSupported)
			if c.want != 200 {
				return
			}
			var got struct{ ResourceType, FHIRVersion string }
			if err := json.Unmarshal(r.body, &got); err != nil || got.ResourceType != "CapabilityStatement" || got.FHIRVersion != "4.0.1" {
				t.Errorf("%+v, %v", got, err)
			}
			if got := r.Header.Get("Content-Type"); got != fhirJSON {
				t.Errorf("Content-Type: %s", got)
			}
			if pretty := bytes.Contains(r.body, []byte("\n  ")); pretty != (c.name == "_pretty") {
				t.Errorf("indented: %v", pretty)
			}
		})
	}
	u := start(t)
	u.expect(u.ask("GET", "/api/v1/fhir/metadata?_format=json&_format=xml", ""), 400, fhir.CodeInvalid)
	u.expect(u.ask("PUT", "/api/v1/fhir/metadata", "{}"), 405, fhir.CodeNotSupported)
}

func TestHealth(t *testing.T) {
	var trouble error
	u := start(t, func(c *Config) { c.Ready = func(context.Context) error { return trouble } })
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := u.ask("GET", path, ""); r.StatusCode != 200 || string(r.body) != "ok\n" {
			t.Errorf("%s: %d %q", path, r.StatusCode, r.body)
		}
	}
	trouble = errors.New("secret trouble")
	r := u.ask("GET", "/readyz", "")
	u.expect(r, 503, fhir.CodeTransient)
	if bytes.Contains(r.body, []byte("secret")) || !strings.Contains(u.log.String(), "secret trouble") {
		t.Errorf("the cause belongs into the log only: %s", r.body)
	}
	u.expect(u.ask("GET", "/healthz", ""), 200, "")
}

// Every answer carries the headers of the guide, and every error is an
// OperationOutcome, whatever is asked.
func TestEveryAnswer(t *testing.T) {
	t.Attr("requirements", "HD-01 HD-02 HD-04 HD-06 HD-07 ER-01 ER-02 ER-03 ER-04 RE-14")
	u := start(t)
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "x"}
	u.fake.file = storedFile(t, "{}\n")
	paths := []string{
		"/", "/api", "/api/v1/fhir", "/api/v1/fhir/", "/healthz", "/readyz", "/api/v1/fhir/metadata", "/api/v1/fhir/$export",
		"/api/v1/fhir/$export-poll-status", "/api/v1/fhir/$export-poll-status?_jobId=" + knownJob, "/api/v1/fhir/$export-poll-status?_jobId=%zz",
		"/api/v1/fhir/Binary", "/api/v1/fhir/Binary/" + knownFile, "/api/v1/fhir/Binary/none", "/api/v1/fhir/Binary/a/b",
		"/api/v1/fhir/Practitioner?name=x", "/api/v1/fhir/Practitioner/1", "/api/v1/fhir/Practitioner/_search", "/api/v1/fhir/Patient/1",
		"/api/v1/fhir/Patient/$export", "/api/v1/fhir/Group/1/$export", "/api/v1/fhir/practitioner", "/robots.txt", "/api/v1/fhir/%00",
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			for _, given := range []string{"", requestID} {
				headers := []string{"Content-Type: application/fhir+json", "Prefer: respond-async"}
				if given != "" {
					headers = append(headers, "X-Request-ID: "+given)
				}
				r := u.ask(method, path, "", headers...)
				id := r.Header.Get("X-Request-ID")
				if len(id) != 36 || (given != "" && id != given) {
					t.Errorf("%s %s: X-Request-ID %q for %q", method, path, id, given)
				}
				if got := r.Header.Values("Cache-Control"); len(got) != 1 || got[0] != "no-store" {
					t.Errorf("%s %s: Cache-Control %q", method, path, got)
				}
				if r.Header.Get("Date") == "" {
					t.Errorf("%s %s: no Date", method, path)
				}
				if r.StatusCode >= 400 && method != "HEAD" {
					u.outcome(r)
				}
				if r.StatusCode >= 500 || (r.StatusCode >= 300 && r.StatusCode < 400) {
					t.Errorf("%s %s: status %d", method, path, r.StatusCode)
				}
				if r.StatusCode == 405 && len(r.Header.Values("Allow")) != 1 {
					t.Errorf("%s %s: 405 without Allow", method, path)
				}
			}
		}
	}
}

func TestNotOffered(t *testing.T) {
	t.Attr("requirements", "RD-05 SR-02")
	u := start(t)
	for _, c := range []struct {
		method, path string
		want         int
		allow        string
	}{
		{"GET", "/Patient/1", 404, ""},
		{"GET", "/Patient?name=x", 404, ""},
		{"POST", "/Practitioner", 405, "GET, HEAD"},
		{"POST", "", 405, "GET, HEAD"},
		{"POST", "/Practitioner/_search", 405, ""},
		{"GET", "/Practitioner/1/_history", 405, ""},
		{"GET", "/Practitioner/1/$meta", 404, ""},
		{"POST", "/Practitioner/$validate", 404, ""},
		{"GET", "/Practitioner/", 404, ""},
		{"PUT", "/Practitioner/1", 405, "GET, HEAD"},
		{"DELETE", "/Practitioner/1", 405, "GET, HEAD"},
		{"PUT", "/Binary/" + knownFile, 405, "GET, HEAD, POST"},
		{"DELETE", "/Binary/" + knownFile, 405, "GET, HEAD, POST"},
	} {
		r := u.ask(c.method, "/api/v1/fhir"+c.path, "")
		u.expect(r, c.want, fhir.CodeNotSupported)
		if got := r.Header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

// A search or a read that is too much for its deadline tells the way out.
func TestTooCostly(t *testing.T) {
	u := start(t, func(c *Config) {
		c.Searches = fakeSearches{err: fmt.Errorf("search Practitioner: %w", store.ErrTooCostly)}
	})
	for _, path := range []string{"/Practitioner?name=x", "/?_getpages=x", "/Practitioner/1"} {
		r := u.ask("GET", "/api/v1/fhir"+path, "")
		u.expect(r, 400, fhir.CodeTooCostly)
		if !bytes.Contains(r.body, []byte("narrow it")) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Attr("requirements", "HD-02 HD-03")
	for _, bad := range []string{"1", "0b6ff2c41c604b0e9d1b6a2f0c6f9a01", "{" + requestID + "}", "urn:uuid:" + requestID, requestID + "0", "zb6ff2c4-1c60-4b0e-9d1b-6a2f0c6f9a01"} {
		u := start(t)
		r := u.ask("GET", "/api/v1/fhir/metadata", "", "X-Request-ID: "+bad)
		u.expect(r, 400, fhir.CodeInvalid)
		if got := r.Header.Get("X-Request-ID"); got == bad || len(got) != 36 {
			t.Errorf("%q was answered with id %q", bad, got)
		}
		u = start(t, func(c *Config) { c.RequestIDStrict = false })
		r = u.ask("GET", "/api/v1/fhir/metadata", "", "X-Request-ID: "+bad)
		u.expect(r, 200, "")
		if got := r.Header.Get("X-Request-ID"); got == bad || len(got) != 36 {
			t.Errorf("%q was answered with id %q", bad, got)
		}
	}
	u := start(t)
	u.expect(u.ask("GET", "/healthz", "", "X-Request-ID: "+requestID, "X-Request-ID: "+requestID), 400, fhir.CodeInvalid)
	upper := strings.ToUpper(requestID)
	if r := u.ask("GET", "/healthz", "", "X-Request-ID: "+upper); r.Header.Get("X-Request-ID") != upper {
		t.Errorf("the id came back as %q", r.Header.Get("X-Request-ID"))
	}
}

// What went wrong inside is in the log under the request id, and not in the answer.
func TestInternalErrors(t *testing.T) {
	t.Attr("requirements", "AD-02 ER-02")
	for name, fail := range map[string]func(*fakeExports){
		"error": func(f *fakeExports) { f.err = errors.New("secret path") },
		"panic": func(f *fakeExports) { f.inspect = func(context.Context) { panic("secret path") } },
	} {
		t.Run(name, func(t *testing.T) {
			u := start(t)
			fail(u.fake)
			r := u.ask("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async", "X-Request-ID: "+requestID)
			u.expect(r, 500, fhir.CodeException)
			if bytes.Contains(r.body, []byte("secret")) {
				t.Errorf("the answer tells: %s", r.body)
			}
			if log := u.log.String(); !strings.Contains(log, "secret path") || !strings.Contains(log, requestID) {
				t.Errorf("the log does not tell: %s", log)
			}
		})
	}
	t.Run("cancelled, but not by the client", func(t *testing.T) {
		u := start(t)
		u.fake.err = context.Canceled
		u.expect(u.ask("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async"), 500, fhir.CodeException)
	})
	t.Run("deadline", func(t *testing.T) {
		u := start(t)
		u.fake.err = context.DeadlineExceeded
		u.expect(u.ask("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async"), 503, fhir.CodeTransient)
	})
}

func TestAccessLog(t *testing.T) {
	u := start(t)
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "x"}
	u.ask("GET", "/api/v1/fhir/$export-poll-status?_jobId="+knownJob, "", "X-Request-ID: "+requestID, "Authorization: Bearer secret")
	u.Close() // waits for the line
	var line map[string]any
	if err := json.Unmarshal([]byte(u.log.String()), &line); err != nil {
		t.Fatalf("%v: %s", err, u.log)
	}
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "request", "request_id": requestID, "principal": "anonymous", "method": "GET",
		"path": "/api/v1/fhir/$export-poll-status", "route": "/api/v1/fhir/$export-poll-status", "status": 202.0, "bytes": 0.0, "took": 0.0,
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
}

// Every code and every kind has a status: no error falls to 500 by oversight.
func TestTableIsWhole(t *testing.T) {
	for _, c := range []fhir.Code{
		fhir.CodeInvalid, fhir.CodeNotSupported, fhir.CodeForbidden, fhir.CodeLogin, fhir.CodeNotFound, fhir.CodeConflict,
		fhir.CodeTooCostly, fhir.CodeThrottled, fhir.CodeException, fhir.CodeTransient,
	} {
		if byCode[c] == 0 {
			t.Errorf("code %s has no status", c)
		}
	}
	for k := wrongMethod; k <= notNow; k++ {
		if a := byKind[k]; a.status < 400 || a.code == "" {
			t.Errorf("kind %d has no answer", k)
		}
	}
}

func TestRoutes(t *testing.T) {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Exports: &fakeExports{}, Searches: fakeSearches{}, ParseExport: func(context.Context, []byte) (export.Request, error) { return export.Request{}, nil }, Registry: registry,
		BaseURL: "http://localhost:8080/fhir", Logger: slog.New(slog.DiscardHandler), Now: time.Now, PostDownload: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.Routes() {
		got = append(got, r.Methods+" "+r.Path)
		if r.About == "" {
			t.Errorf("%s says nothing about itself", r.Path)
		}
	}
	want := []string{
		"POST /fhir/$export", "DELETE, GET, HEAD /fhir/$export-poll-status", "GET, HEAD, POST /fhir/Binary/{id}",
		"GET, HEAD /fhir/metadata", "GET, HEAD /healthz", "GET, HEAD /readyz",
	}
	for _, t := range fhir.Types() {
		want = append(want, "GET, HEAD /fhir/"+t.String(), "GET, HEAD /fhir/"+t.String()+"/{id}")
	}
	want = append(want, "GET, HEAD /fhir/{$}", "every method /")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigIsChecked(t *testing.T) {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Exports: &fakeExports{}, Searches: fakeSearches{}, ParseExport: func(context.Context, []byte) (export.Request, error) { return export.Request{}, nil }, Registry: registry,
		BaseURL: "http://localhost:8080/fhir", Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	for _, url := range []string{"", "/fhir", "localhost:8080/fhir", "ftp://x/fhir", "http:///fhir", "http://x/fhir/", "http://x/fhir?a=b", "http://x/fhir#a", "http://u:p@x/fhir", "http://x/{id}", "http://x/ a"} {
		c := good
		c.BaseURL = url
		if _, err := New(c); err == nil {
			t.Errorf("the base URL %q was accepted", url)
		}
	}
	for _, url := range []string{"http://localhost:8080", "https://x/a/b/c"} {
		c := good
		c.BaseURL = url
		if _, err := New(c); err != nil {
			t.Errorf("the base URL %q: %v", url, err)
		}
	}
	for name, spoil := range map[string]func(*Config){
		"Exports": func(c *Config) { c.Exports = nil }, "Searches": func(c *Config) { c.Searches = nil }, "ParseExport": func(c *Config) { c.ParseExport = nil }, "Registry": func(c *Config) { c.Registry = nil },
		"Logger": func(c *Config) { c.Logger = nil }, "Now": func(c *Config) { c.Now = nil },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// storedFile writes a part of the text, which is whole lines, and returns a function that
// opens it as often as asked.
func storedFile(t *testing.T, text string) func() (*export.File, error) {
	t.Helper()
	return storedFileAs(t, text, func(stream []byte) []byte { return stream })
}

func storedFileAs(t testing.TB, text string, spoil func([]byte) []byte) func() (*export.File, error) {
	t.Helper()
	var stream bytes.Buffer
	w := part.NewWriter(&stream)
	for line := range strings.Lines(text) {
		if err := w.WriteLine([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "part.gz")
	stored := spoil(stream.Bytes())
	if err := os.WriteFile(name, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() (*export.File, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &export.File{
			Part: store.Part{File: knownFile, Stored: store.Stored{Count: sum.Count, Bytes: sum.Bytes, GzipBytes: sum.GzipBytes, SHA256: sum.SHA256, Index: sum.Index}},
			Blob: sizedFile{f, int64(len(stored))},
		}, nil
	}
}

// sizedFile is a blob.Reader.
type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

var _ blob.Reader = sizedFile{}
