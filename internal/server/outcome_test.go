package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"muster/internal/fhir"
)

// TestInternalErrors checks that internal causes are logged under the request id, and are
// not part of the response.
func TestInternalErrors(t *testing.T) {
	t.Attr("requirements", "AD-02 ER-02")
	for name, fail := range map[string]func(*fakeExports){
		"error": func(f *fakeExports) { f.err = errors.New("secret path") },
		"panic": func(f *fakeExports) { f.inspect = func(context.Context) { panic("secret path") } },
	} {
		t.Run(name, func(t *testing.T) {
			u := startServer(t)
			fail(u.fake)
			r := u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async", "X-Request-ID: "+requestID)
			u.wantStatus(r, 500, fhir.CodeException)
			if bytes.Contains(r.body, []byte("secret")) {
				t.Errorf("the response contains the cause: %s", r.body)
			}
			if log := u.log.String(); !strings.Contains(log, "secret path") || !strings.Contains(log, requestID) {
				t.Errorf("the log lacks the cause: %s", log)
			}
		})
	}
	t.Run("cancelled, but not by the client", func(t *testing.T) {
		u := startServer(t)
		u.fake.err = context.Canceled
		u.wantStatus(u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async"), 500, fhir.CodeException)
	})
	t.Run("deadline", func(t *testing.T) {
		u := startServer(t)
		u.fake.err = context.DeadlineExceeded
		u.wantStatus(u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async"), 503, fhir.CodeTransient)
	})
}

// TestTableIsComplete checks that all codes and kinds have a status, so that no error
// becomes 500 by omission.
func TestTableIsComplete(t *testing.T) {
	for _, c := range []fhir.Code{
		fhir.CodeInvalid, fhir.CodeNotSupported, fhir.CodeForbidden, fhir.CodeLogin, fhir.CodeNotFound, fhir.CodeConflict,
		fhir.CodeTooCostly, fhir.CodeThrottled, fhir.CodeException, fhir.CodeTransient,
	} {
		if byCode[c] == 0 {
			t.Errorf("code %s has no status", c)
		}
	}
	for k := methodNotSupported; k <= misdirected; k++ {
		if a := byKind[k]; a.status < 400 || a.code == "" {
			t.Errorf("kind %d has no answer", k)
		}
	}
}

// TestIssuesAreCapped sends a body with hundreds of thousands of errors: the response
// lists a hundred.
func TestIssuesAreCapped(t *testing.T) {
	t.Attr("requirements", "ER-01")
	u := startServer(t, func(c *Config) { c.ParseExport = newExportParser(t) })
	body := `{"resourceType":"Parameters","parameter":[1` + strings.Repeat(",1", 400_000) + `]}`
	r := u.request("POST", "/api/v1/fhir/$export", body, "Content-Type: application/fhir+json", "Prefer: respond-async")
	if r.StatusCode != 400 || len(r.body) > 64<<10 {
		t.Fatalf("status %d with %d bytes", r.StatusCode, len(r.body))
	}
	issues := fhir.Issues{}
	for n := range 250 {
		issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprint("mistake ", n)})
	}
	answer := outcomeJSON(issues, requestID)
	if n := bytes.Count(answer, []byte(`"severity":"error"`)); n != maxIssues {
		t.Errorf("%d issues, want %d", n, maxIssues)
	}
	if !bytes.Contains(answer, []byte("150 more issues")) {
		t.Errorf("the number of omitted issues is missing: %s", answer)
	}
}
