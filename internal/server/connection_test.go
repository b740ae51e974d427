package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"muster/internal/audit"
	"muster/internal/fhir"
)

// TestAnswersOfTheLibrary sends requests that net/http answers itself. Each answer is an
// OperationOutcome with the id of the request, is not cacheable, closes the connection, and is
// audited and counted.
func TestAnswersOfTheLibrary(t *testing.T) {
	t.Attr("requirements", "HD-08 HD-02 HD-04 ER-01 ER-04")
	const id = "X-Request-ID: " + requestID
	good := []string{"Host: directory.example", id}
	for _, c := range []struct {
		name, line   string
		headers      []string
		status       int
		code         fhir.Code
		says         string
		method, path string // of the audit event
	}{
		{"percent sign", "GET /api/v1/fhir/Organization/%zz HTTP/1.1", good, 400, fhir.CodeInvalid, "write %25 for a percent sign", "GET", "/api/v1/fhir/Organization/%zz"},
		{"percent sign at the end", "DELETE /api/v1/fhir/Organization/% HTTP/1.1", good, 400, fhir.CodeInvalid, "write %25 for a percent sign", "DELETE", "/api/v1/fhir/Organization/%"},
		{"space in the query", "GET /api/v1/fhir/Organization?name=aged care HTTP/1.1", good, 400, fhir.CodeInvalid, "write it as %20", "GET", "/api/v1/fhir/Organization"},
		{"space in the path", "GET /api/v1/fhir/Organization/a b HTTP/1.1", good, 400, fhir.CodeInvalid, "write it as %20", "GET", "/api/v1/fhir/Organization/a b"},
		{"control character", "GET /api/v1/fhir/Organization/\x01 HTTP/1.1", good, 400, fhir.CodeInvalid, "control character", "GET", "/api/v1/fhir/Organization/\x01"},
		{"no slash", "GET metadata HTTP/1.1", good, 400, fhir.CodeInvalid, "begins with a slash", "GET", "metadata"},
		{"no HTTP", "hello", good, 400, fhir.CodeInvalid, "write METHOD URL HTTP/1.1", "", ""},
		{"no host", "GET /api/v1/fhir/metadata HTTP/1.1", []string{id}, 400, fhir.CodeInvalid, "missing required Host header", "GET", "/api/v1/fhir/metadata"},
		{"bad host", "GET /api/v1/fhir/metadata HTTP/1.1", []string{id, "Host: a b"}, 400, fhir.CodeInvalid, "malformed Host header", "GET", "/api/v1/fhir/metadata"},
		{"header without a colon", "GET /api/v1/fhir/metadata HTTP/1.1", append(good, "nonsense"), 400, fhir.CodeInvalid, "Name: value", "GET", "/api/v1/fhir/metadata"},
		{"name with a space", "GET /api/v1/fhir/metadata HTTP/1.1", append(good, "Bad Name: x"), 400, fhir.CodeInvalid, "", "GET", "/api/v1/fhir/metadata"},
		{"value with a control character", "GET /api/v1/fhir/metadata HTTP/1.1", append(good, "Accept: a\x01"), 400, fhir.CodeInvalid, "", "GET", "/api/v1/fhir/metadata"},
		{"length that is no number", "POST /api/v1/fhir/$export HTTP/1.1", append(good, "Content-Length: x"), 400, fhir.CodeInvalid, "", "POST", "/api/v1/fhir/$export"},
		{"expectation", "GET /api/v1/fhir/metadata HTTP/1.1", append(good, "Expect: x"), 417, fhir.CodeNotSupported, "100-continue", "GET", "/api/v1/fhir/metadata"},
		{"coding", "POST /api/v1/fhir/$export HTTP/1.1", append(good, "Transfer-Encoding: gzip"), 501, fhir.CodeNotSupported, "Transfer-Encoding", "POST", "/api/v1/fhir/$export"},
		{"version", "GET /api/v1/fhir/metadata HTTP/3.0", good, 505, fhir.CodeNotSupported, "HTTP/1.1", "GET", "/api/v1/fhir/metadata"},
		{"header too large", "GET /api/v1/fhir/metadata HTTP/1.1", append(good, "X-Long: "+strings.Repeat("x", 200<<10)), 431, fhir.CodeTooCostly, "fewer or shorter fields", "GET", "/api/v1/fhir/metadata"},
		{"no answer to HEAD has a body", "HEAD /api/v1/fhir/Organization/%zz HTTP/1.1", good, 400, fhir.CodeInvalid, "", "HEAD", "/api/v1/fhir/Organization/%zz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, counted := make(auditChannel, 1), &countingObserver{}
			u := startServer(t, func(o *Config) {
				o.Audit, o.Observer = events, counted
				o.Limits.Header = 8 << 10
			})
			w := u.dial()
			w.send(append([]string{c.line}, c.headers...)...)
			method := c.method
			if method == "" {
				method = "GET"
			}
			r := w.receive(method)
			u.wantStatus(r, c.status, c.code)
			if r.Header.Get("X-Request-ID") != requestID || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Content-Type") != fhirJSON || r.Header.Get("Date") == "" || !r.Close {
				t.Errorf("headers %v", r.Header)
			}
			if method == "HEAD" {
				if len(r.body) != 0 || r.ContentLength <= 0 {
					t.Errorf("%d bytes, Content-Length %d", len(r.body), r.ContentLength)
				}
			} else if issues := u.outcome(r); !strings.Contains(issues[0].Diagnostics, c.says) {
				t.Errorf("it says %q, want %q", issues[0].Diagnostics, c.says)
			}
			w.closed()
			e := events.next(t)
			if e.RequestID != requestID || e.Status != c.status || e.Method != c.method || e.Path != c.path || e.Remote != "127.0.0.1" || e.Interaction != audit.Other || e.Issue != string(c.code) || e.Query != "" {
				t.Errorf("the event is %+v", e)
			}
			if log := u.log.String(); !strings.Contains(log, fmt.Sprintf(`"status":%d`, c.status)) || strings.Contains(log, "aged care") {
				t.Errorf("the log is %s", log)
			}
			if want := fmt.Sprint(c.method, " / ", c.status); len(counted.requests) != 1 || counted.requests[0] != want {
				t.Errorf("counted are %q, want %q", counted.requests, want)
			}
		})
	}
}

// TestLaterRequestsOfAConnection sends good requests and then a broken one on the same
// connection, each after the response to the one before, and all at once. The answers of the
// handler are not touched.
func TestLaterRequestsOfAConnection(t *testing.T) {
	t.Attr("requirements", "HD-08")
	text := ndjsonOfSize(1 << 20)
	for _, first := range [][]string{
		{"GET /healthz HTTP/1.1", "Host: x"},
		{"GET " + filePath + " HTTP/1.1", "Host: x"},
		{"POST " + filePath + " HTTP/1.1", "Host: x", "Content-Length: 6", "", "{}"},
	} {
		method, _, _ := strings.Cut(first[0], " ")
		broken := []string{"GET /api/v1/fhir/%zz HTTP/1.1", "Host: x", "X-Request-ID: " + requestID}
		u := startWithFile(t, text)
		w := u.dial()
		for range 2 {
			w.send(first...)
			if r := w.receive(method); r.StatusCode != 200 || r.err != nil || len(r.body) != 3 && string(r.body) != text {
				t.Fatalf("%s: %d, %d bytes, %v", first[0], r.StatusCode, len(r.body), r.err)
			}
		}
		w.send(broken...)
		r := w.receive("GET")
		u.wantStatus(r, 400, fhir.CodeInvalid)
		if r.Header.Get("X-Request-ID") != requestID {
			t.Errorf("after %s the id is %s", first[0], r.Header.Get("X-Request-ID"))
		}
		w.closed()

		w = u.dial()
		w.send(strings.Join(append(first, "", strings.Join(broken, "\r\n")), "\r\n"))
		if r := w.receive(method); r.StatusCode != 200 {
			t.Errorf("%s, pipelined: %d", first[0], r.StatusCode)
		}
		r = w.receive("GET")
		u.wantStatus(r, 400, fhir.CodeInvalid)
		w.closed()
	}
}

// TestUnsentBody checks that a client that still sends its body can read the answer.
func TestUnsentBody(t *testing.T) {
	t.Attr("requirements", "HD-08")
	u := startServer(t)
	w := u.dial()
	w.send("POST /api/v1/fhir/%zz HTTP/1.1", "Host: x", fmt.Sprintf("Content-Length: %d", 512<<10), "", strings.Repeat(" ", 512<<10))
	u.wantStatus(w.receive("POST"), 400, fhir.CodeInvalid)
	w.closed()
}

// TestBodyOfUnknownLength starts exports with a body that is announced without its length.
func TestBodyOfUnknownLength(t *testing.T) {
	t.Attr("requirements", "KO-11")
	for _, c := range []struct {
		media, body string
		status      int
	}{
		{"application/fhir+json", parameters, 202},
		{"application/fhir+json", "", 400},
		{"text/plain", "", 400},
		{"text/plain", parameters, 415},
	} {
		u := startServer(t)
		w := u.dial()
		chunk := ""
		if c.body != "" {
			chunk = fmt.Sprintf("%x\r\n%s\r\n", len(c.body), c.body)
		}
		w.send("POST /api/v1/fhir/$export HTTP/1.1", "Host: x", "Prefer: respond-async", "Content-Type: "+c.media, "Transfer-Encoding: chunked", "", chunk+"0")
		if r := w.receive("POST"); r.StatusCode != c.status {
			t.Errorf("%s %q: status %d, want %d: %s", c.media, c.body, r.StatusCode, c.status, r.body)
		}
	}
}

// startTLS starts the server with TLS, and returns its address and the configuration of a
// client.
func startTLS(t *testing.T, u *testServer) (address string, client *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := u.Config.Handler.(*Server)
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	secure := s.Listen(h, smallBuffers{l}, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, MinVersion: tls.VersionTLS12})
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(secure) }()
	t.Cleanup(func() {
		_ = h.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// TestTLSPort sends good and broken requests over TLS, and plain HTTP, to a port with TLS.
func TestTLSPort(t *testing.T) {
	t.Attr("requirements", "HD-08 HD-02 HD-04")
	events := make(auditChannel, 10)
	u := startServer(t, func(c *Config) { c.Audit = events })
	text := ndjsonOfSize(1 << 20)
	u.fake.file = storedFile(t, text)
	address, config := startTLS(t, u)

	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: http2, DisableCompression: true}
		response, err := (&http.Client{Transport: transport}).Get("https://" + address + filePath)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if want := map[bool]int{false: 1, true: 2}[http2]; err != nil || string(body) != text || response.ProtoMajor != want {
			t.Errorf("HTTP/%d, %d bytes, %v; want HTTP/%d", response.ProtoMajor, len(body), err, want)
		}
		transport.CloseIdleConnections()
		events.next(t)
	}

	for _, c := range []struct {
		name, says string
		dial       func() (net.Conn, error)
		line       string
		path       string
	}{
		{"broken request", "write %25", func() (net.Conn, error) { return tls.Dial("tcp", address, config) }, "GET /api/v1/fhir/%zz HTTP/1.1", "/api/v1/fhir/%zz"},
		{"plain HTTP", "This port uses TLS, and the request is in plain HTTP: send it to " + base, func() (net.Conn, error) { return net.Dial("tcp", address) }, "GET /api/v1/fhir/metadata HTTP/1.1", "/api/v1/fhir/metadata"},
		{"plain HTTP of another method", "This port uses TLS", func() (net.Conn, error) { return net.Dial("tcp", address) }, "DELETE /api/v1/fhir/metadata HTTP/1.1", "/api/v1/fhir/metadata"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := c.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			w := newRawConn(u, conn)
			w.send(c.line, "Host: x", "X-Request-ID: "+requestID)
			method, _, _ := strings.Cut(c.line, " ")
			r := w.receive(method)
			u.wantStatus(r, 400, fhir.CodeInvalid)
			if issues := u.outcome(r); !strings.Contains(issues[0].Diagnostics, c.says) || r.Header.Get("X-Request-ID") != requestID || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v %+v", r.Header, issues)
			}
			w.closed()
			if e := events.next(t); e.Method != method || e.Path != c.path || e.Status != 400 || e.RequestID != requestID {
				t.Errorf("the event is %+v", e)
			}
		})
	}

	// What is neither TLS nor HTTP gets no answer.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte("\x00\x01\x02\x03\x04\x05")); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(conn); bytes.Contains(answer, []byte("HTTP")) {
		t.Errorf("the answer is %q", answer)
	}
}

// TestCloseEndsHandshakes closes a port with TLS while a client does not shake hands.
func TestCloseEndsHandshakes(t *testing.T) {
	u := startServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := u.Config.Handler.(*Server).Listen(&http.Server{}, l, &tls.Config{})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := secure.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := secure.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returns %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the connection stays open: %v", err)
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// FuzzUnhandled answers any first bytes of a request, with any answer of the library.
func FuzzUnhandled(f *testing.F) {
	for _, head := range []string{
		"", "\r\n", "GET", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nX-Request-ID: " + requestID + "\r\nX-Forwarded-For: 192.0.2.1, x\r\n",
		"HEAD / HTTP/1.1\r\nx-request-id: no\r\n\r\n", "GET http://[::1 HTTP/1.1\n", "G\x00T / HTTP/1.1\r\n : \r\n", "GET " + strings.Repeat("/a?b&", 700),
	} {
		for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 417 Expectation Failed\r\n", "HTTP/1.1 400 Bad Request: malformed Host header\r\n", "", "HTTP/1.1"} {
			f.Add([]byte(head), []byte(answer))
		}
	}
	config := testConfig(f, &fakeExports{})
	config.Audit, config.BehindProxy = discardAudit{}, true
	s, err := New(config)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, answer []byte) {
		conn := &discardConn{}
		s.answerUnhandled(conn, head, s.problemOf(answer, head))
		u := &testServer{t: t}
		w := newRawConn(u, conn)
		r := w.receive(readHead(head).Method)
		if r.err != nil || r.StatusCode < 400 || r.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d, %v: %v", r.StatusCode, r.err, r.Header)
		}
		if r.Request.Method != http.MethodHead {
			u.outcome(r)
		}
		if conn.Len()+w.r.Buffered() != 0 {
			t.Fatalf("bytes follow the response: %q", conn.Bytes())
		}
	})
}

// discardConn is a connection that reads what was written to it.
type discardConn struct{ bytes.Buffer }

func (*discardConn) Close() error                     { return nil }
func (*discardConn) CloseWrite() error                { return errors.New("nothing more is read") }
func (*discardConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*discardConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*discardConn) SetDeadline(time.Time) error      { return nil }
func (*discardConn) SetReadDeadline(time.Time) error  { return nil }
func (*discardConn) SetWriteDeadline(time.Time) error { return nil }
