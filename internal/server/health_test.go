package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/fhir"
)

func TestHealth(t *testing.T) {
	var notReady error
	u := startServer(t, func(c *Config) { c.Ready = func(context.Context) error { return notReady } })
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := u.request("GET", path, ""); r.StatusCode != 200 || string(r.body) != "ok\n" {
			t.Errorf("%s: %d %q", path, r.StatusCode, r.body)
		}
	}
	notReady = errors.New("secret cause")
	r := u.request("GET", "/readyz", "")
	u.wantStatus(r, 503, fhir.CodeTransient)
	if bytes.Contains(r.body, []byte("secret")) || !strings.Contains(u.log.String(), "secret cause") {
		t.Errorf("the cause must be in the log only: %s", r.body)
	}
	u.wantStatus(u.request("GET", "/healthz", ""), 200, "")
}

// TestDrain checks that a server that shuts down is not ready, serves requests as before, also
// one that has begun, and closes each connection.
func TestDrain(t *testing.T) {
	u := startServer(t)
	want := func(r reply, status int, closed bool) {
		t.Helper()
		if r.StatusCode != status || r.Close != closed {
			t.Errorf("%s %s: %d, want %d; the connection is closed: %t, want %t", r.Request.Method, r.Request.URL, r.StatusCode, status, r.Close, closed)
		}
	}
	kickOff := func() reply {
		return u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/fhir+json", "Prefer: respond-async")
	}
	want(kickOff(), 202, false)
	want(u.request("GET", "/readyz", ""), 200, false)
	u.fake.inspect = func(context.Context) { u.Config.Handler.(*Server).Drain() }
	want(kickOff(), 202, true)
	want(u.request("GET", "/readyz", ""), 503, true)
	want(u.request("GET", "/healthz", ""), 200, true)
	want(u.request("GET", "/nowhere", ""), 404, true)
	want(u.request("GET", "/api/v1/fhir/metadata", ""), 200, true)
	want(kickOff(), 202, true)
}

// TestDrainHTTP2 checks that a server that shuts down lets clients of HTTP/2 open a new connection
// for their next request.
func TestDrainHTTP2(t *testing.T) {
	s, err := New(testConfig(t, &fakeExports{}))
	if err != nil {
		t.Fatal(err)
	}
	u := httptest.NewUnstartedServer(s)
	u.EnableHTTP2 = true
	u.StartTLS()
	defer u.Close()
	reused := func() (reused bool) {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", u.URL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := u.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 200 {
			t.Fatalf("%s over %s, %v", resp.Status, resp.Proto, err)
		}
		return reused
	}
	reused()
	if !reused() {
		t.Error("a connection is not used again before the shutdown")
	}
	s.Drain()
	reused()
	for range 20 { // the client may read the announcement after the answer
		if !reused() {
			return
		}
	}
	t.Error("a connection is used again and again while the server shuts down")
}

// TestMetricsAreLocal checks that metrics are served to this machine only, and to no
// client behind a proxy.
func TestMetricsAreLocal(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "n 1\n") })
	u := startServer(t, func(c *Config) { c.Metrics = metrics })
	if r := u.request("GET", "/metrics", ""); r.StatusCode != 200 || string(r.body) != "n 1\n" {
		t.Errorf("from this machine: %d %q", r.StatusCode, r.body)
	}
	u = startServer(t, func(c *Config) { c.Metrics, c.BehindProxy = metrics, true })
	u.wantStatus(u.request("GET", "/metrics", ""), 404, fhir.CodeNotSupported)
	remote := httptest.NewRequest("GET", "/metrics", nil) // from 192.0.2.1
	w := httptest.NewRecorder()
	startServer(t, func(c *Config) { c.Metrics = metrics }).Config.Handler.ServeHTTP(w, remote)
	if w.Code != 404 || strings.Contains(w.Body.String(), "n 1") {
		t.Errorf("from another machine: %d %q", w.Code, w.Body)
	}
}

// TestReadinessIsShared checks that concurrent probes, which have no rate limit, cost one check.
func TestReadinessIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		config := testConfig(t, &fakeExports{})
		config.Ready = func(ctx context.Context) error {
			checks++
			<-time.After(time.Second)
			return ctx.Err()
		}
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		gone, leave := context.WithCancel(t.Context())
		var probes sync.WaitGroup
		for n := range 100 {
			probes.Go(func() {
				ctx := t.Context()
				if n == 0 {
					ctx = gone // the one whose check the others share
				}
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/readyz", nil))
				if n > 0 && w.Code != 200 {
					t.Errorf("a probe is answered %d", w.Code)
				}
			})
			synctest.Wait()
		}
		leave()
		probes.Wait()
		if checks != 1 {
			t.Errorf("%d checks", checks)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
		if w.Code != 200 || checks != 2 {
			t.Errorf("a later probe is answered %d, after %d checks", w.Code, checks)
		}
	})
}
