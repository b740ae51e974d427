package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"muster/internal/fhir"
)

// net/http answers some requests itself, in plain text, without calling the handler: requests
// that it cannot parse, with an Expect header that it does not know, or in plain HTTP on a
// port with TLS. The connections of this file replace these answers by those of the handler,
// so that they are OperationOutcomes with an id, and are audited and logged (HD-08).
//
// HTTP/2 is not covered, since its answers are frames that net/http has encoded and encrypted
// already. A request that it cannot parse resets the stream. It answers a header list above
// the limit (431) and a header that belongs to HTTP/1 (400) in text.

// handshakeTimeout is the maximum time of a TLS handshake.
const handshakeTimeout = 10 * time.Second

// The limits of a connection of HTTP/2. net/http bounds the rest: streams that are reset count until
// their handler has ended, four times as many wait, and a connection whose client does not read
// the answers to its settings and pings is closed.
const (
	maxStreams  = 64       // at once
	http2Buffer = 16 << 10 // bytes of a frame
	http2Window = 64 << 10 // bytes of bodies that no handler has read
)

// lingerTimeout is how long a closing connection is read, so that a client that still sends
// its request can read the answer.
const lingerTimeout = 500 * time.Millisecond

// Listen returns the listener to pass to h.Serve, and sets h up for its connections: it sets
// ConnContext, TLSConfig, HTTP2 and ErrorLog, and adds to ConnState. config is the configuration of TLS, nil for
// plain HTTP. The handler of h must be s.
func (s *Server) Listen(h *http.Server, l net.Listener, config *tls.Config) net.Listener {
	h.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	also := h.ConnState
	h.ConnState = func(c net.Conn, state http.ConnState) {
		if own, ok := c.(*connection); ok && state == http.StateIdle {
			own.endRequest()
		}
		noteState(c, state)
		if also != nil {
			also(c, state)
		}
	}
	h.ErrorLog = slog.NewLogLogger(s.clientLog.Handler(), slog.LevelWarn)
	l = countingListener{l, s}
	h.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              http2Buffer,
		MaxReceiveBufferPerConnection: http2Window,
		MaxReceiveBufferPerStream:     http2Window,
		WriteByteTimeout:              progressTimeout,
	}
	if config == nil {
		return plainListener{l, s}
	}
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	h.TLSConfig = config // net/http sets up HTTP/2 if it finds h2 there
	return newTLSListener(l, s, config)
}

// plainListener is a listener for plain HTTP.
type plainListener struct {
	net.Listener
	server *Server
}

// Accept implements [net.Listener].
func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, server: l.server}, nil
}

// tlsListener is a listener for HTTP over TLS. It shakes hands before Accept returns a
// connection, since net/http must get a [tls.Conn] for HTTP/2, and a connection of this file
// for HTTP/1.
type tlsListener struct {
	net.Listener
	server   *Server
	config   *tls.Config
	accepted chan accepted
	open     context.Context // ends when the listener is closed
	close    context.CancelFunc
}

// accepted is a result of Accept.
type accepted struct {
	conn net.Conn
	err  error
}

func newTLSListener(l net.Listener, s *Server, config *tls.Config) *tlsListener {
	t := &tlsListener{Listener: l, server: s, config: config, accepted: make(chan accepted)}
	t.open, t.close = context.WithCancel(context.Background())
	go t.acceptAll()
	return t
}

// Accept implements [net.Listener].
func (l *tlsListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.open.Done():
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]. It ends the handshakes in progress.
func (l *tlsListener) Close() error {
	l.close()
	return l.Listener.Close()
}

// acceptAll accepts connections until the listener is closed. It passes errors to net/http,
// which waits after one before it accepts again.
func (l *tlsListener) acceptAll() {
	for l.open.Err() == nil {
		c, err := l.Listener.Accept()
		if err != nil {
			l.deliver(accepted{err: err})
			continue
		}
		go l.handshake(c)
	}
}

// deliver passes a result to Accept. It closes a connection after the last Accept.
func (l *tlsListener) deliver(a accepted) {
	select {
	case l.accepted <- a:
	case <-l.open.Done():
		if a.conn != nil {
			_ = a.conn.Close()
		}
	}
}

// handshake shakes hands and delivers the connection.
func (l *tlsListener) handshake(raw net.Conn) {
	first := &recorder{Conn: raw}
	secure := tls.Server(first, l.config)
	ctx, cancel := context.WithTimeout(l.open, handshakeTimeout)
	defer cancel()
	err := secure.HandshakeContext(ctx)
	if err == nil {
		first.stop()
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			l.deliver(accepted{conn: secure})
		} else {
			l.deliver(accepted{conn: &connection{Conn: secure, server: l.server}})
		}
		return
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && looksLikeHTTP(e.RecordHeader[:]) {
		l.server.answerUnhandled(raw, first.head, fhir.Issue{Code: fhir.CodeInvalid,
			Diagnostics: "This port uses TLS, and the request is in plain HTTP: send it to " + l.server.BaseURL + "."})
	} else {
		l.server.clientLog.Warn("TLS handshake failed", "remote", raw.RemoteAddr().String(), "error", err)
	}
	_ = raw.Close()
}

// looksLikeHTTP reports whether bytes may begin an HTTP request.
func looksLikeHTTP(begin []byte) bool {
	for _, c := range begin {
		if !(c >= 'A' && c <= 'Z' || c == ' ' || c == '/') {
			return false
		}
	}
	return true
}

// maxHead is how many bytes of a request are kept for an answer without a handler.
const maxHead = 4 << 10

// recorder keeps the first bytes that are read from a connection. One goroutine reads at a
// time.
type recorder struct {
	net.Conn
	head    []byte
	stopped bool
}

// Read implements [io.Reader].
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if !r.stopped {
		r.head = append(r.head, p[:min(n, maxHead-len(r.head))]...)
	}
	return n, err
}

// stop ends recording. It is called while no goroutine reads.
func (r *recorder) stop() { r.stopped, r.head = true, nil }

// connectionKey is the key of the connection in the context of its requests.
type connectionKey struct{}

// connection is a connection of HTTP/1. It answers requests that net/http answers without a
// handler.
type connection struct {
	net.Conn
	server  *Server
	handled atomic.Bool // the handler answers the current request

	mu      sync.Mutex
	head    []byte // the first bytes of the current request, as far as they are known
	hasBody bool   // of the current request
}

// beginRequest is called when the handler begins to answer a request on the connection of r,
// if that is one of this file. It returns the framing of the request.
func beginRequest(r *http.Request) framing {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return framed
	}
	c.handled.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := framingOf(r, c.head)
	// What is read from now on is the body, or the begin of the next request.
	c.head, c.hasBody = c.head[:0], r.ContentLength != 0
	return f
}

// endRequest is called when a request has been answered.
func (c *connection) endRequest() {
	c.mu.Lock()
	if c.hasBody {
		c.head = c.head[:0]
	}
	c.mu.Unlock()
	c.handled.Store(false)
}

// Read implements [io.Reader]. net/http reads while the handler runs, too.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = append(c.head, p[:min(n, maxHead-len(c.head))]...)
	return n, err
}

// Write implements [io.Writer]. It replaces an answer that the handler has not written.
func (c *connection) Write(p []byte) (int, error) {
	if c.handled.Load() {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	head := bytes.Clone(c.head)
	c.mu.Unlock()
	c.server.answerUnhandled(c.Conn, head, c.server.problemOf(p, head))
	return len(p), nil
}

// CloseWrite tells the client that no more bytes follow. net/http calls it before it closes a
// connection whose client may still be sending.
func (c *connection) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// answerUnhandled answers a request whose first bytes are head, and which no handler has seen,
// with an error. The caller closes the connection.
func (s *Server) answerUnhandled(c net.Conn, head []byte, problem error) {
	r := readHead(head)
	r.RemoteAddr = c.RemoteAddr().String()
	answer := &bufferedResponse{header: http.Header{}}
	unhandled := route{path: "/", fallback: func(http.ResponseWriter, *http.Request) error { return problem }}
	s.middleware(s.endpoint(unhandled)).ServeHTTP(answer, r)
	_ = c.SetWriteDeadline(time.Now().Add(progressTimeout))
	if _, err := c.Write(answer.bytes(r.Method)); err != nil {
		return
	}
	if closeWrite(c) == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.CopyN(io.Discard, c, s.Limits.Body)
	}
}

// readHead reads as much of a request as its first bytes tell. It keeps only the headers that
// matter for an error: the id, and the address of the client behind a proxy.
func readHead(head []byte) *http.Request {
	r := &http.Request{URL: &url.URL{}, Header: http.Header{}, Body: http.NoBody}
	lines := bufio.NewScanner(bytes.NewReader(head))
	lines.Scan()
	if method, target, ok := requestLine(lines.Text()); ok {
		path, _, _ := strings.Cut(target, "?")
		r.Method, r.RequestURI, r.URL.Path = method, target, path
	}
	for lines.Scan() && lines.Text() != "" {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "X-Request-Id", "X-Forwarded-For":
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

// requestLine splits a line METHOD URL HTTP/1.1. The URL may have spaces, which it must not.
func requestLine(line string) (method, target string, ok bool) {
	method, rest, _ := strings.Cut(line, " ")
	end := strings.LastIndex(rest, " HTTP/")
	if end < 0 || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", "", false
	}
	return method, rest[:end], true
}

// problemOf returns the error for an answer of net/http to the request that begins with head.
func (s *Server) problemOf(answer, head []byte) error {
	line, _, _ := strings.Cut(string(answer), "\r\n") // HTTP/1.1 400 Bad Request: missing required Host header
	_, line, _ = strings.Cut(line, " ")
	code, text, _ := strings.Cut(line, " ")
	status, _ := strconv.Atoi(code)
	_, detail, _ := strings.Cut(text, ": ")
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		return refusal{kind: headerTooLarge, text: fmt.Sprintf("URL and header are too large; the limits are %d and %d bytes: send a shorter URL, and fewer or shorter fields.", s.Limits.URL, s.Limits.Header)}
	case http.StatusExpectationFailed:
		return refusal{kind: expectationFailed, text: "The header Expect asks for something that is not supported: omit it, or send 100-continue."}
	case http.StatusNotImplemented:
		return refusal{kind: codingNotSupported, text: "The Transfer-Encoding of the request is not supported: send Transfer-Encoding: chunked, or a Content-Length."}
	case http.StatusHTTPVersionNotSupported:
		return refusal{kind: versionNotSupported, text: "The version of HTTP is not supported: send HTTP/1.1."}
	}
	return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: badRequest(head, detail)}
}

// badRequest says what is wrong with a request that net/http cannot parse. detail is what
// net/http says; it may be empty.
func badRequest(head []byte, detail string) string {
	line, _, _ := strings.Cut(string(head), "\n")
	_, target, ok := requestLine(strings.TrimSuffix(line, "\r"))
	_, malformed := url.ParseRequestURI(target)
	switch {
	case detail != "":
		return "The request is not valid HTTP (" + detail + "): correct its header."
	case !ok:
	case strings.Contains(target, " "):
		return "The URL contains a space: write it as %20."
	case strings.ContainsFunc(target, unicode.IsControl):
		return "The URL contains a control character: leave it out."
	case errors.As(malformed, new(url.EscapeError)):
		return "The URL contains a percent sign without two hexadecimal digits after it: write %25 for a percent sign."
	case malformed != nil:
		return "The URL is not valid: write a path that begins with a slash, or an absolute URL."
	default:
		return "The header is not valid HTTP: write each field as Name: value on a line of its own."
	}
	return "The request is not valid HTTP: write METHOD URL HTTP/1.1, then the header fields as Name: value, and then an empty line."
}

// bufferedResponse is a response that is written to a connection when it is complete.
type bufferedResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (b *bufferedResponse) Header() http.Header { return b.header }

// WriteHeader implements [http.ResponseWriter].
func (b *bufferedResponse) WriteHeader(status int) { b.status = status }

// Write implements [http.ResponseWriter].
func (b *bufferedResponse) Write(p []byte) (int, error) { return b.body.Write(p) }

// bytes returns the response to a request with a method, as the last one on its connection.
func (b *bufferedResponse) bytes(method string) []byte {
	b.header.Set("Connection", "close")
	b.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", b.status, http.StatusText(b.status))
	_ = b.header.Write(&out) // a buffer has no errors
	out.WriteString("\r\n")
	if method != http.MethodHead {
		out.Write(b.body.Bytes())
	}
	return out.Bytes()
}
