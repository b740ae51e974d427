package server

import (
	"net/http"
	"strings"
	"testing"

	"muster/internal/fhir"
)

// TestBothLengths sends requests whose end is announced in two ways. They are refused, and the
// connection is closed, so that what follows is not read as another request. That the
// connection closes does not depend on where in a header, or after which other request, the
// fields are.
func TestBothLengths(t *testing.T) {
	t.Attr("requirements", "HD-08")
	const post = "POST /api/v1/fhir/metadata HTTP/1.1"
	smuggled := "\r\nGET /api/v1/fhir/metadata HTTP/1.1\r\nHost: x"
	long := "X-Filler: " + strings.Repeat("x", 2*maxHead)
	get := []string{"GET /healthz HTTP/1.1", "Host: x", ""}
	for _, c := range []struct {
		name   string
		lines  []string
		before int // answers to requests before it
		status int
		closes bool
	}{
		{"length first", []string{post, "Host: x", "Content-Length: 6", "Transfer-Encoding: chunked", "", "0\r\n" + smuggled}, 0, 400, true},
		{"length last", []string{post, "Host: x", "Transfer-Encoding: chunked", "content-length:6", "", "0\r\n" + smuggled}, 0, 400, true},
		{"a health check", []string{"POST /healthz HTTP/1.1", "Host: x", "Content-Length: 6", "Transfer-Encoding: chunked", "", "0\r\n" + smuggled}, 0, 400, true},
		{"chunks only", []string{post, "Host: x", "Transfer-Encoding: chunked", "", "0"}, 0, 405, false},
		{"HTTP/1.0", []string{"POST /api/v1/fhir/metadata HTTP/1.0", "Host: x", "Connection: keep-alive", "Content-Length: 6", "Transfer-Encoding: chunked", "", "0\r\n" + smuggled}, 0, 400, true},
		{"HTTP/1.0 and chunks only", []string{"POST /api/v1/fhir/metadata HTTP/1.0", "Host: x", "Connection: keep-alive", "Transfer-Encoding: chunked", "", "0\r\n" + smuggled}, 0, 400, true},
		{"HTTP/1.0 after another request", append(get, "POST /api/v1/fhir/metadata HTTP/1.0", "Host: x", "Connection: keep-alive", "Content-Length: 6", "Transfer-Encoding: chunked", "", "0\r\n"+smuggled), 1, 405, true},
		{"long header", []string{post, "Host: x", "Transfer-Encoding: chunked", long, "Content-Length: 6", "", "0\r\n" + smuggled}, 0, 405, true},
		{"after another request", append(get, post, "Host: x", "Content-Length: 6", "Transfer-Encoding: chunked", "", "0\r\n"+smuggled), 1, 405, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := startServer(t)
			w := u.dial()
			w.send(c.lines...)
			for range c.before {
				if r := w.receive("GET"); r.StatusCode != 200 {
					t.Fatalf("the request before: %d", r.StatusCode)
				}
			}
			r := w.receive("POST")
			if r.StatusCode != c.status || r.Close != c.closes {
				t.Errorf("status %d, closes %v: %s; want %d, %v", r.StatusCode, r.Close, r.body, c.status, c.closes)
			}
			if c.status == 400 {
				u.wantStatus(r, 400, fhir.CodeInvalid)
			}
			if c.closes {
				w.closed()
				return
			}
			w.send("GET /healthz HTTP/1.1", "Host: x")
			if r := w.receive("GET"); r.StatusCode != 200 {
				t.Errorf("the next request: %d", r.StatusCode)
			}
		})
	}
}

// TestHost asks for hosts that the server serves and for others.
func TestHost(t *testing.T) {
	counts := &countingObserver{}
	u := startServer(t, func(c *Config) {
		c.Hosts = []string{"directory.example.org", "2001:db8::5", "Dotted.example."}
		c.Observer = counts
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	})
	const metadata = "/api/v1/fhir/metadata"
	for _, c := range []struct {
		path, host string
		status     int
	}{
		{metadata, "directory.example.org", 200}, {metadata, "Directory.Example.ORG.:8443", 200}, {metadata, "[2001:db8::5]:80", 200},
		{metadata, "directory.example.org:443", 200}, {metadata, "dotted.example", 200}, {metadata, "dotted.example.:80", 200},
		{metadata, "localhost:1", 200}, {metadata, "127.0.0.1", 200}, {metadata, "[::1]:9", 200}, {metadata, "127.9.9.9", 200},
		{metadata, "evil.example", 421}, {metadata, "evil.example:8080", 421}, {metadata, "192.0.2.1", 421}, {metadata, "localhost.evil.example", 421},
		{metadata, "[2001:db8::6]", 421}, {metadata, "directory.example.org.evil.example", 421},
		{"/metrics", "evil.example", 421}, {"/metrics", "localhost", 200}, {"/nowhere", "evil.example", 421}, {"/", "evil.example", 421},
		{"/healthz", "evil.example", 200}, {"/readyz", "192.0.2.1:80", 200},
	} {
		w := u.dial()
		w.send("GET "+c.path+" HTTP/1.1", "Host: "+c.host)
		r := w.receive("GET")
		if r.StatusCode != c.status {
			t.Errorf("%s at %s: %d, want %d: %s", c.path, c.host, r.StatusCode, c.status, r.body)
		}
		if c.status == 421 {
			u.wantStatus(r, 421, fhir.CodeNotSupported)
		}
	}
	w := u.dial()
	w.send("GET " + metadata + " HTTP/1.0")
	if r := w.receive("GET"); r.StatusCode != 200 {
		t.Errorf("HTTP/1.0 without a host: %d", r.StatusCode)
	}
	if n := counts.refused["host"]; n != 9 {
		t.Errorf("%d refusals were counted, want 9", n)
	}
	any := startServer(t).dial()
	any.send("GET "+metadata+" HTTP/1.1", "Host: evil.example")
	if r := any.receive("GET"); r.StatusCode != 200 {
		t.Errorf("behind a proxy: %d", r.StatusCode)
	}
}
