package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"muster/internal/fhir"
)

// rawConn is a connection for requests that net/http's client would not send.
type rawConn struct {
	net.Conn
	u *testServer
	r *bufio.Reader
}

func (u *testServer) dial() *rawConn {
	u.t.Helper()
	c, err := (&net.Dialer{}).DialContext(u.t.Context(), "tcp", u.Listener.Addr().String())
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = c.Close() })
	// A broken server fails the test instead of blocking it.
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return newRawConn(u, c)
}

func newRawConn(u *testServer, c net.Conn) *rawConn { return &rawConn{c, u, bufio.NewReader(c)} }

// send writes the lines and an empty one.
func (w *rawConn) send(lines ...string) {
	w.u.t.Helper()
	if _, err := io.WriteString(w, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		w.u.t.Fatal(err)
	}
}

// receive reads a response.
func (w *rawConn) receive(method string) reply {
	w.u.t.Helper()
	request, err := http.NewRequestWithContext(w.u.t.Context(), method, "/", nil)
	if err != nil {
		w.u.t.Fatal(err)
	}
	// The response to a rejected CONNECT has a body like any other.
	reading := *request
	reading.Method = strings.Replace(method, http.MethodConnect, http.MethodGet, 1)
	response, err := http.ReadResponse(w.r, &reading)
	if err != nil {
		w.u.t.Fatalf("%s: %v", method, err)
	}
	defer response.Body.Close()
	response.Request = request
	body, err := io.ReadAll(response.Body)
	return reply{response, body, err}
}

// closed waits until the server closes the connection.
func (w *rawConn) closed() {
	w.u.t.Helper()
	if _, err := w.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		w.u.t.Errorf("the connection stays open: %v", err)
	}
}

// TestMissingBody checks that a client that announces a body and does not send it cannot
// hold the connection.
func TestMissingBody(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/v1/fhir/Binary/nope", 400},
		{"GET", filePath, 400},
		{"POST", filePath, 400},
		{"PUT", filePath, 405},
	} {
		for _, length := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
			t.Run(c.method+" "+c.path+" "+length, func(t *testing.T) {
				u := startWithFile(t, "{}\n")
				u.Config.Handler.(*Server).bodyTimeout = 50 * time.Millisecond
				w := u.dial()
				w.send(c.method+" "+c.path+" HTTP/1.1", "Host: x", length)
				r := w.receive(c.method)
				if r.StatusCode != c.status {
					t.Errorf("status %d, want %d", r.StatusCode, c.status)
				}
				u.outcome(r)
				w.closed()
			})
		}
	}
}

// TestBodyOfDownload checks that the body of a download request is discarded and the
// connection is reused. A body that is too large ends the connection.
func TestBodyOfDownload(t *testing.T) {
	t.Attr("requirements", "RE-02")
	text := ndjsonOfSize(1 << 20)
	u := startWithFile(t, text)
	w := u.dial()
	for range 2 {
		w.send("POST "+filePath+" HTTP/1.1", "Host: x", "Content-Length: 6", "", "{}")
		if r := w.receive("POST"); r.StatusCode != 200 || r.err != nil || string(r.body) != text {
			t.Errorf("status %d, %d bytes of %d, %v", r.StatusCode, len(r.body), len(text), r.err)
		}
	}
	w.send("POST "+filePath+" HTTP/1.1", "Host: x", fmt.Sprintf("Content-Length: %d", 2*(1<<20)), "", strings.Repeat(" ", (1<<20)))
	u.wantStatus(w.receive("POST"), 413, fhir.CodeTooCostly)
	w.closed()
}

// TestUnusualRequests checks that requests without a path and unknown methods are
// answered like any other request.
func TestUnusualRequests(t *testing.T) {
	t.Attr("requirements", "ER-01 HD-02 HD-04")
	u := startServer(t)
	u.Config.DisableGeneralOptionsHandler = true // otherwise net/http answers OPTIONS *
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"CONNECT", "directory.example:443", 404},
		{"CONNECT", "/api/v1/fhir/$export", 405},
		{"CONNECT", "/nowhere/../x", 404},
		{"OPTIONS", "*", 404},
		{"GET", "*", 404},
		{"GET", "http://directory.example", 404},
		{"TRACE", "/api/v1/fhir/metadata", 405},
		{"BREW", "/api/v1/fhir/metadata", 405},
		{"get", "/api/v1/fhir/metadata", 405},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			w := u.dial()
			w.send(c.method+" "+c.target+" HTTP/1.1", "Host: directory.example", "X-Request-ID: "+requestID)
			r := w.receive(c.method)
			if r.StatusCode != c.status || r.Header.Get("X-Request-ID") != requestID || r.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("status %d, headers %v: %s", r.StatusCode, r.Header, r.body)
			}
			u.outcome(r)
		})
	}
}
