package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

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
		{"FM-05", "another version", "POST", "/$export", parameters, []string{"Content-Type: application/fhir+json; fhirVersion=5.0", async}, 415, fhir.CodeNotSupported},
		{"FM-05", "another version accepted", "POST", "/$export", parameters, []string{asFHIR, async, "Accept: application/fhir+json; fhirVersion=5.0"}, 406, fhir.CodeNotSupported},
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
		{"KO-11", "no body and no media type", "POST", "/$export", "", []string{async}, 400, fhir.CodeInvalid},
		{"KO-11", "no body of another media type", "POST", "/$export", "", []string{"Content-Type: text/plain", async}, 400, fhir.CodeInvalid},
		{"KO-11", "no body and no header at all", "POST", "/$export", "", nil, 400, fhir.CodeInvalid},
		{"KO-38", "media before Prefer", "POST", "/$export?x=1", parameters, []string{"Accept: text/html", asFHIR}, 406, fhir.CodeNotSupported},
		{"", "too large", "POST", "/$export", strings.Repeat(" ", (1<<20)) + parameters, []string{asFHIR, async}, 413, fhir.CodeTooCostly},
		{"", "as large as may be", "POST", "/$export", parameters + strings.Repeat(" ", (1<<20)-len(parameters)), []string{asFHIR, async}, 202, ""},
	} {
		t.Run(strings.TrimSpace(c.req+" "+c.name), func(t *testing.T) {
			u := startServer(t)
			r := u.request(c.method, "/api/v1/fhir"+c.path, c.body, c.headers...)
			u.wantStatus(r, c.status, c.code)
			if c.status == 405 && r.Header.Get("Allow") != "POST" {
				t.Errorf("Allow: %q", r.Header.Get("Allow"))
			}
			if (c.status == 202) != (u.fake.kickOffs == 1) {
				t.Errorf("%d exports were started", u.fake.kickOffs)
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

func TestRejectedKickOffs(t *testing.T) {
	u := startServer(t)
	kick := func() reply {
		return u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/fhir+json", "Prefer: respond-async")
	}
	t.Attr("requirements", "KO-52 RL-02")
	u.fake.err = export.TooManyJobs{RetryAfter: 30}
	r := kick()
	u.wantStatus(r, 429, fhir.CodeThrottled)
	if got := r.Header.Get("Retry-After"); got != "30" {
		t.Errorf("Retry-After: %q, want 30", got)
	}
	t.Attr("requirements", "KO-25")
	u.fake.err = fhir.Issues{{Code: fhir.CodeNotSupported, Diagnostics: "Binary cannot be exported", Reason: fhir.TypeNotExportable}}
	u.wantStatus(kick(), 403, fhir.CodeNotSupported)
	t.Attr("requirements", "KO-38")
	r = u.request("POST", "/api/v1/fhir/$export", "{}", "Content-Type: application/fhir+json", "Prefer: respond-async")
	want := []fhir.OutcomeIssue{
		{Severity: "error", Code: fhir.CodeInvalid, Diagnostics: "not Parameters", Expression: []string{"Parameters"}},
		{Severity: "error", Code: fhir.CodeInvalid, Diagnostics: "and more"},
	}
	if diff := cmp.Diff(want, u.outcome(r)); diff != "" {
		t.Error(diff)
	}
}

// TestNoRoom checks the responses to kick-offs for whose files there is no room: 429 if the client
// has used up its own, 503 if all clients together have.
func TestNoRoom(t *testing.T) {
	t.Attr("requirements", "RL-04")
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) { c.Observer = observer })
	for _, c := range []struct {
		total   bool
		status  int
		code    fhir.Code
		text    string
		refused string
	}{
		{false, 429, fhir.CodeThrottled, "The files of your exports take 5GiB on the server, and the limit is 4GiB", RefusedQuota},
		{true, 503, fhir.CodeTransient, "no room for the files of more exports", RefusedSpace},
	} {
		u.fake.err = export.NoRoom{OverQuota: &store.OverQuota{Total: c.total, Used: 5 << 30, Limit: 4 << 30}, RetryAfter: 3480}
		r := u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/fhir+json", "Prefer: respond-async")
		u.wantStatus(r, c.status, c.code)
		if got := r.Header.Get("Retry-After"); got != "3480" {
			t.Errorf("%d: Retry-After %q", c.status, got)
		}
		if text := u.outcome(r)[0].Diagnostics; !strings.Contains(text, c.text) || c.total && strings.Contains(text, "GiB") {
			t.Errorf("%d: %s", c.status, text)
		}
		if observer.refused[c.refused] != 1 {
			t.Errorf("%d: refused %v", c.status, observer.refused)
		}
	}
}

// unreadableBody is a body that must not be read.
type unreadableBody struct{ t *testing.T }

func (n unreadableBody) Read([]byte) (int, error) {
	n.t.Error("the body was read")
	return 0, http.ErrBodyReadAfterClose
}

func (unreadableBody) Close() error { return nil }

// TestContentLengthIsChecked rejects a body by its Content-Length, without reading it.
func TestContentLengthIsChecked(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Body, r.ContentLength = unreadableBody{t}, 11
	if _, err := readBody(httptest.NewRecorder(), r, 10); err == nil {
		t.Error("the body was accepted")
	}
}
