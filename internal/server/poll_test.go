package server

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/store"
)

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
		{"PO-09", "cancelled", running, store.ErrNotFound, "?_jobId=" + knownJob, nil, 404, fhir.CodeNotFound, "120", "No such job"},
		{"PO-10 RL-01 RL-02", "too early", early, nil, "?_jobId=" + knownJob, nil, 429, fhir.CodeThrottled, "41", running.Progress},
		{"PO-11", "failed", export.Status{State: store.Failed, RetryAfter: 1, Progress: "Export failed", Reason: "the disk is full"}, nil, "?_jobId=" + knownJob, nil, 500, fhir.CodeException, "1", "Export failed"},
		{"PO-12", "internal error", running, errors.New("database is locked"), "?_jobId=" + knownJob, nil, 503, fhir.CodeTransient, "120", "No status"},
		{"PO-02 HD-03", "bad request id", running, nil, "?_jobId=" + knownJob, []string{"X-Request-ID: 1"}, 400, fhir.CodeInvalid, "120", "No status"},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := startServer(t)
			u.fake.status, u.fake.err = c.status, c.err
			r := u.request("GET", "/api/v1/fhir/$export-poll-status"+c.query, "", c.headers...)
			u.wantStatus(r, c.want, c.code)
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
			if c.want == 503 && (bytes.Contains(r.body, []byte("locked")) || !strings.Contains(u.log.String(), "locked")) {
				t.Errorf("the cause must be in the log and not in the response: %s", r.body)
			}
			if c.status.State == store.Failed && !bytes.Contains(r.body, []byte("the disk is full")) {
				t.Errorf("the reason is missing: %s", r.body)
			}
		})
	}
	t.Run("POST", func(t *testing.T) {
		t.Attr("requirements", "PO-16")
		u := startServer(t)
		r := u.request("POST", "/api/v1/fhir/$export-poll-status?_jobId="+knownJob, "")
		u.wantStatus(r, 405, fhir.CodeNotSupported)
		if got := r.Header.Get("Allow"); got != "DELETE, GET, HEAD" {
			t.Errorf("Allow: %q", got)
		}
	})
	t.Run("escaped dollar", func(t *testing.T) {
		u := startServer(t)
		u.fake.status = running
		u.wantStatus(u.request("GET", "/api/v1/fhir/%24export-poll-status?_jobId="+knownJob, ""), 202, "")
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
		{"DE-04", "expired", "?_jobId=" + expiredJob, nil, 404, fhir.CodeNotFound},
		{"DE-06", "no job", "", nil, 400, fhir.CodeInvalid},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := startServer(t)
			r := u.request("DELETE", "/api/v1/fhir/$export-poll-status"+c.query, "", c.headers...)
			u.wantStatus(r, c.want, c.code)
			if c.want == 202 && (len(r.body) != 0 || r.ContentLength != 0) {
				t.Errorf("body %q, length %d", r.body, r.ContentLength)
			}
			for _, word := range []string{"deleted.", "expired"} {
				if says := bytes.Contains(r.body, []byte("This export")) && bytes.Contains(r.body, []byte(word)); says != strings.HasPrefix(word, c.name) {
					t.Errorf("it says %q: %t: %s", word, says, r.body)
				}
			}
			if c.name == "unknown" && !bytes.Contains(r.body, []byte("Endpoint artefact not found for the provided job ID.")) {
				t.Errorf("not the text of the guide: %s", r.body)
			}
		})
	}
}
