package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/testkit/bound"

	"github.com/google/uuid"
)

// requestLimits bounds the work for one request: a megabyte of errors is answered with
// bounded work.
var requestLimits = bound.Limits{Base: 32 << 20, PerByte: 2 << 10}

// newFuzzServer returns a server with the program's parser and a fake export service.
// Rate limits are off, size limits are on.
func newFuzzServer(f *testing.F) (http.Handler, *fakeExports) {
	f.Helper()
	fake := &fakeExports{}
	config := testConfig(f, fake)
	config.ParseExport, config.Audit = newExportParser(f), discardAudit{}
	s, err := New(config)
	if err != nil {
		f.Fatal(err)
	}
	return s, fake
}

type discardAudit struct{}

func (discardAudit) Record(audit.Event) {}

func (discardAudit) RecordRefused(_, _ string, _ audit.Event) {}

// checkResponse checks what all responses have in common.
func checkResponse(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Result().Header
	if h.Get("Cache-Control") != "no-store" || uuid.Validate(h.Get("X-Request-ID")) != nil {
		t.Errorf("%d without no-store or a request id: %v", w.Code, h)
	}
	for name, values := range h {
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") {
				t.Errorf("the header %s: %q splits the response", name, value)
			}
		}
	}
	if strings.HasSuffix(r.URL.Path, "/$export-poll-status") && (r.Method == "GET" || r.Method == "HEAD") {
		if n, err := strconv.Atoi(h.Get("Retry-After")); err != nil || n < 1 || h.Get("X-Progress") == "" {
			t.Errorf("%d to a poll has Retry-After %q and X-Progress %q", w.Code, h.Get("Retry-After"), h.Get("X-Progress"))
		}
	}
	if w.Code >= 500 {
		t.Errorf("%d for %s %q: %s", w.Code, r.Method, r.URL, w.Body)
	}
	if w.Code < 400 || r.Method == "HEAD" {
		return
	}
	var o struct {
		ResourceType string
		Issue        []fhir.OutcomeIssue
	}
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || o.ResourceType != "OperationOutcome" || len(o.Issue) < 2 || len(o.Issue) > maxIssues+2 || h.Get("Content-Type") != fhirJSON {
		t.Errorf("%d is not an OperationOutcome (%v, %d issues): %.300s", w.Code, err, len(o.Issue), w.Body)
	}
	for _, i := range o.Issue {
		if i.Severity == "" || i.Code == "" || i.Diagnostics == "" {
			t.Errorf("an issue is incomplete: %+v", i)
		}
	}
	if n := w.Body.Len(); n > 1<<20 {
		t.Errorf("an error response of %d bytes", n)
	}
}

// send serves one request within its bounds.
func send(t *testing.T, handler http.Handler, r *http.Request, size int) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	requestLimits.Run(t, size, func() { handler.ServeHTTP(w, r) })
	checkResponse(t, r, w)
	return w
}

// FuzzKickOff sends bodies of kick-offs.
func FuzzKickOff(f *testing.F) {
	f.Add([]byte(validKickOff))
	f.Add([]byte(`{"resourceType":"Parameters","parameter":[{"name":"_type","part":[{"name":"_type"}]},{},7],"a":1,"a":2}`))
	f.Add([]byte(`{"resourceType":"Parameters","parameter":[{"name":"_outputFormat","valueString":"ndjson"},{"name":"_type","valueString":"Practitioner, Location,,Patient"},` +
		`{"name":"_typeFilter","valueString":"Practitioner?name:contains=a\u0000b&_has:PractitionerRole:practitioner:location.address-city=Balmain"},{"name":"_since","valueInstant":"2026-02-30T25:00:00Z"}]}`))
	f.Add([]byte(`{"resourceType":"Parameters","parameter":[` + strings.Repeat(`{"name":"_typeFilter","valueString":"Location?name=x"},`, 50) + `{}]}`))
	f.Add([]byte(strings.Repeat(`{"parameter":`, 70)))
	f.Add([]byte(`[` + strings.Repeat("1,", 3000) + `1]`))
	f.Add([]byte("\xef\xbb\xbf{\"resourceType\":\"Parameters\",\"\\ud800\":\"\xff\"}"))
	handler, _ := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/api/v1/fhir/$export", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", fhirJSON)
		r.Header.Set("Prefer", "respond-async")
		if w := send(t, handler, r, len(body)); w.Code == 202 && w.Header().Get("Content-Location") == "" {
			t.Error("accepted without Content-Location")
		}
	})
}

// FuzzPollURL polls and deletes jobs with arbitrary queries.
func FuzzPollURL(f *testing.F) {
	for _, query := range []string{"_jobId=" + knownJob, "_jobId=" + deletedJob, "_jobId=" + knownJob + "&_jobId=" + unknownJob, "_jobId", "", "_jobId=%00%0d%0aX:y", "_jobId=../../x&_format=json", ";;&%zz=1", strings.Repeat("a&", 300)} {
		for method := range byte(4) {
			f.Add(query, method, byte(method))
		}
	}
	handler, fake := newFuzzServer(f)
	states := []store.State{store.Accepted, store.Selecting, store.Writing, store.Complete, store.Failed} // those of Exports.Poll
	f.Fuzz(func(t *testing.T, query string, method, state byte) {
		fake.status = export.Status{State: states[int(state)%len(states)], RetryAfter: 3, Progress: "Search in progress", Manifest: []byte(`{}`), Reason: "because"}
		r := requestAt([]string{"GET", "DELETE", "HEAD", "PUT"}[method%4], "/api/v1/fhir/$export-poll-status", query)
		if r == nil {
			return
		}
		w := httptest.NewRecorder()
		requestLimits.Run(t, len(query), func() { handler.ServeHTTP(w, r) })
		if w.Code == 500 && fake.status.State == store.Failed {
			return // the response for a failed job
		}
		checkResponse(t, r, w)
	})
}

// FuzzSearchURL searches and reads with arbitrary paths and queries.
func FuzzSearchURL(f *testing.F) {
	for _, target := range [][2]string{
		{"Practitioner", "family=Smith&_count=10&_sort=-_lastUpdated"},
		{"PractitionerRole", "practitioner.name=a&_include=PractitionerRole:location&_revinclude=Provenance:target"},
		{"HealthcareService", "location.near=-33.8|151.2|5|km&_has:PractitionerRole:service:active=true"},
		{"Location/a", "_format=json&_pretty=true"}, {"Location/a/_history/1", ""}, {"Organization/_search", "name:contains=x"}, {"", "_type=Location"}, {"metadata", "_format=xml"},
		{"Provenance", "target=Organization/a&recorded=ge2026-02-30"}, {"Practitioner", "%zz=%&;=;&&&=&name:exact:exact=\\,\\"}, {"..//Location", "_page=AAAA"}, {"Location", "name=" + strings.Repeat("a,", 3000)},
	} {
		f.Add(target[0], target[1], byte(0))
		f.Add(target[0], target[1], byte(1))
	}
	handler, _ := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, path, query string, method byte) {
		if r := requestAt([]string{"GET", "POST", "HEAD", "DELETE"}[method%4], "/api/v1/fhir/"+path, query); r != nil {
			if w := httptest.NewRecorder(); r.URL.Path != "/api/v1/fhir/$export" {
				requestLimits.Run(t, len(path)+len(query), func() { handler.ServeHTTP(w, r) })
				checkResponse(t, r, w)
			}
		}
	})
}

// requestAt returns the request that a client can send for a path and a query, or nil.
func requestAt(method, path, query string) *http.Request {
	u := &url.URL{Path: path, RawQuery: query}
	target := u.RequestURI()
	parsed, err := url.ParseRequestURI(target)
	if err != nil || strings.ContainsAny(target, " \r\n\x00") {
		return nil
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL, r.RequestURI = parsed, target
	return r
}

// FuzzRequestHeaders sends headers to each kind of route.
func FuzzRequestHeaders(f *testing.F) {
	for route := range byte(4) {
		f.Add(route, "application/fhir+json", "bytes=0-1", "respond-async", fhirJSON, requestID, "gzip", `"x"`)
		f.Add(route, `a;q="0.5, b;",*/*;q=1e999`, "bytes=-0,-5,99999999999999999999-", `x="a, respond-async";wait`, "application/json;charset=\"latin1\"", "not-a-uuid", "gzip;q=0,identity;q=0,*", `W/"x",*`)
		f.Add(route, "application/fhir+ndjson;q=0.001,application/fhir+json;q=NaN", "bytes=1-0, 2-,", ",;=", ";", strings.Repeat("a", 36), "x-gzip", "Thu, 01 Jan 1970 00:00:00 GMT")
		f.Add(route, strings.Repeat("a/b,", 9000), "items=0-5", "", "", "", "", "")
	}
	handler, fake := newFuzzServer(f)
	fake.file = alteredFile(f, ndjsonOfSize(5000), func(stream []byte) []byte { return stream })
	f.Fuzz(func(t *testing.T, route byte, accept, ranges, prefer, contentType, id, encoding, condition string) {
		target := []struct{ method, path, body string }{
			{"GET", "/api/v1/fhir/Binary/" + knownFile, ""}, {"POST", "/api/v1/fhir/$export", validKickOff},
			{"GET", "/api/v1/fhir/metadata", ""}, {"GET", "/api/v1/fhir/$export-poll-status?_jobId=" + unknownJob, ""},
		}[route%4]
		r := httptest.NewRequest(target.method, target.path, strings.NewReader(target.body))
		size := len(target.body)
		for name, value := range map[string]string{"Accept": accept, "Range": ranges, "Prefer": prefer, "Content-Type": contentType, "X-Request-ID": id,
			"Accept-Encoding": encoding, "If-None-Match": condition, "If-Range": condition, "If-Modified-Since": condition, "X-Forwarded-For": accept, "Content-Encoding": encoding} {
			if strings.ContainsAny(value, "\r\n\x00") {
				return // net/http rejects these requests itself
			}
			if value != "" {
				r.Header.Set(name, value)
				size += len(value)
			}
		}
		send(t, handler, r, size)
	})
}
