package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// deadlineRecorder records the deadlines that a response sets on its connection.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	write int
	read  time.Time // the last one
}

func (d *deadlineRecorder) SetWriteDeadline(time.Time) error { d.write++; return nil }

func (d *deadlineRecorder) SetReadDeadline(at time.Time) error { d.read = at; return nil }

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDeadlines checks that each response sets its own write deadline: one that an
// earlier response on the connection has set would abort it.
func TestDeadlines(t *testing.T) {
	u := startWithFile(t, ndjsonOfSize(4*progressStep))
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "x"}
	var duringBody time.Time
	send := func(path string, headers ...string) *deadlineRecorder {
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder(), read: time.Unix(1, 0)}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, readerFunc(func([]byte) (int, error) {
			duringBody = w.read
			return 0, io.EOF
		}))
		for n := 0; n+1 < len(headers); n += 2 {
			r.Header.Set(headers[n], headers[n+1])
		}
		u.Config.Handler.ServeHTTP(w, r)
		return w
	}
	if w := send("/api/v1/fhir/$export-poll-status?_jobId=" + knownJob); w.Code != 202 || w.write < 2 || !w.read.After(time.Unix(1, 0)) {
		t.Errorf("an answer without body: status %d, %d write deadlines, to be read by %v", w.Code, w.write, w.read)
	}
	// A download extends the write deadline with each step, and removes the read deadline
	// once the body of the request is read: it may take any time while the client reads.
	if w := send(filePath); w.Code != 200 || w.write < 5 || !w.read.IsZero() || !duringBody.After(time.Unix(1, 0)) {
		t.Errorf("a download: status %d, %d write deadlines, body to be read by %v, then by %v", w.Code, w.write, duringBody, w.read)
	}
	if w := send(filePath, "Accept", fhirJSON); w.Code != 200 || w.write < 5 || !w.read.IsZero() {
		t.Errorf("a download as Binary: status %d, %d write deadlines, to be read by %v", w.Code, w.write, w.read)
	}
}

// TestPrincipal checks that the context of a request has the client and a deadline.
func TestPrincipal(t *testing.T) {
	u := startServer(t)
	var got auth.Principal
	u.fake.inspect = func(ctx context.Context) {
		got = auth.From(ctx)
		if _, limited := ctx.Deadline(); !limited {
			t.Error("the request has no deadline")
		}
	}
	u.wantStatus(u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async"), 202, "")
	if got.ID != auth.Anonymous.ID || got.Grants != auth.AllGrants() {
		t.Errorf("principal %+v", got)
	}
}

// TestAllResponses checks that all responses have the headers of the guide and that all
// errors are OperationOutcomes.
func TestAllResponses(t *testing.T) {
	t.Attr("requirements", "HD-01 HD-02 HD-04 HD-06 HD-07 ER-01 ER-02 ER-03 ER-04 RE-14")
	u := startServer(t)
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
				r := u.request(method, path, "", headers...)
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

func TestRequestID(t *testing.T) {
	t.Attr("requirements", "HD-02 HD-03")
	for _, bad := range []string{"1", "0b6ff2c41c604b0e9d1b6a2f0c6f9a01", "{" + requestID + "}", "urn:uuid:" + requestID, requestID + "0", "zb6ff2c4-1c60-4b0e-9d1b-6a2f0c6f9a01"} {
		u := startServer(t)
		r := u.request("GET", "/api/v1/fhir/metadata", "", "X-Request-ID: "+bad)
		u.wantStatus(r, 400, fhir.CodeInvalid)
		if got := r.Header.Get("X-Request-ID"); got == bad || len(got) != 36 {
			t.Errorf("%q was answered with id %q", bad, got)
		}
		u = startServer(t, func(c *Config) { c.RequestIDStrict = false })
		r = u.request("GET", "/api/v1/fhir/metadata", "", "X-Request-ID: "+bad)
		u.wantStatus(r, 200, "")
		if got := r.Header.Get("X-Request-ID"); got == bad || len(got) != 36 {
			t.Errorf("%q was answered with id %q", bad, got)
		}
	}
	u := startServer(t)
	u.wantStatus(u.request("GET", "/healthz", "", "X-Request-ID: "+requestID, "X-Request-ID: "+requestID), 400, fhir.CodeInvalid)
	upper := strings.ToUpper(requestID)
	if r := u.request("GET", "/healthz", "", "X-Request-ID: "+upper); r.Header.Get("X-Request-ID") != upper {
		t.Errorf("the id came back as %q", r.Header.Get("X-Request-ID"))
	}
}

func TestAccessLog(t *testing.T) {
	u := startServer(t)
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "x"}
	u.request("GET", "/api/v1/fhir/$export-poll-status?_jobId="+knownJob, "", "X-Request-ID: "+requestID, "Authorization: Bearer secret")
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

func TestObserverReceivesRoutes(t *testing.T) {
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) { c.Observer = observer })
	u.request("GET", "/api/v1/fhir/Binary/secret", "")
	u.request("GET", "/nowhere/at/all", "")
	u.Close()
	want := []string{"GET /api/v1/fhir/Binary/{id} 404", "GET / 404"}
	if fmt.Sprint(observer.requests) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", observer.requests, want)
	}
}
