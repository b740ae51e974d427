package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/searchset"
	"muster/internal/share"
)

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(late) {
			t.Fatalf("%s: does not become true", what)
		}
		<-time.After(time.Millisecond)
	}
}

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10) // what is not read stays in the server
	return c
}

// isOpen reports whether the server has left a connection open, on which it has sent nothing.
func isOpen(t *testing.T, c net.Conn) bool {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return err != nil && isTimeout(err)
}

// getFrom sends a request from an address on a connection of its own, and returns the status.
func (u *testServer) getFrom(from, path string) (int, error) {
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	r, err := client.Get(u.URL + path)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return r.StatusCode, err
}

// TestConnectionLimits opens connections that send nothing, or a part of a request. Those of one
// client are limited. When all clients have too many, those of the client with the most are closed
// for others, the oldest idle one first.
func TestConnectionLimits(t *testing.T) {
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) { c.Limits.Connections, c.Limits.ClientConnections, c.Observer = 8, 5, observer })
	s := u.Config.Handler.(*Server)
	address := u.Listener.Addr().String()
	var a, b []net.Conn
	for n := range 5 {
		c := dialFrom(t, "127.0.0.2", address)
		if n%2 == 0 {
			_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHos")
		}
		a = append(a, c)
		eventually(t, "the connection counts", func() bool { return s.connections.Used() == int64(n+1) })
	}
	if c := dialFrom(t, "127.0.0.2", address); isOpen(t, c) {
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("a connection beyond the limit of a client: %v", err)
		}
	}
	for n := range 3 {
		b = append(b, dialFrom(t, "127.0.0.3", address))
		eventually(t, "the connection counts", func() bool { return s.connections.Used() == int64(6+n) })
	}
	for n := range 2 {
		if status, err := u.getFrom(fmt.Sprintf("127.0.0.%d", 4+n), "/healthz"); status != 200 || err != nil {
			t.Errorf("a further client: %d, %v", status, err)
		}
		if n == 0 {
			eventually(t, "the connection of the further client ends", func() bool { return s.connections.Used() == 7 })
			_ = dialFrom(t, "127.0.0.5", address)
			eventually(t, "the server is full", func() bool { return s.connections.Used() == 8 })
		}
	}
	if isOpen(t, a[0]) || isOpen(t, a[1]) || !isOpen(t, a[2]) || !isOpen(t, b[0]) {
		t.Errorf("the connections that are open: %t %t %t of the first client, %t of the second", isOpen(t, a[0]), isOpen(t, a[1]), isOpen(t, a[2]), isOpen(t, b[0]))
	}
	observer.mu.Lock()
	defer observer.mu.Unlock()
	if observer.refused[RefusedConnection] != 1 {
		t.Errorf("refused: %v", observer.refused)
	}
}

// TestConnectionsBehindProxy checks that the connections of a proxy have only the total limit.
func TestConnectionsBehindProxy(t *testing.T) {
	u := startServer(t, func(c *Config) { c.Limits.Connections, c.Limits.ClientConnections, c.BehindProxy = 8, 2, true })
	s := u.Config.Handler.(*Server)
	for n := range 8 {
		dialFrom(t, "127.0.0.1", u.Listener.Addr().String())
		eventually(t, "the connection counts", func() bool { return s.connections.Used() == int64(n+1) })
	}
	if status, err := u.getFrom("127.0.0.1", "/healthz"); status != 200 || err != nil {
		t.Errorf("a further connection of the proxy: %d, %v", status, err)
	}
}

// TestBusyConnectionsAreClosed fills the server with connections whose requests are served. One of
// the client with the most is closed for another client.
func TestBusyConnectionsAreClosed(t *testing.T) {
	started, leave := make(chan struct{}, 10), make(chan struct{})
	u := startServer(t, func(c *Config) {
		c.Limits.Connections, c.Limits.ClientConnections, c.Searches = 4, 3, heldSearches{started: started, leave: leave}
	})
	defer close(leave)
	var busy []net.Conn
	for n := range 4 {
		c := dialFrom(t, fmt.Sprintf("127.0.0.%d", 2+n/3), u.Listener.Addr().String())
		_, _ = io.WriteString(c, "GET /api/v1/fhir/Practitioner?name=a HTTP/1.1\r\nHost: x\r\n\r\n")
		<-started
		busy = append(busy, c)
	}
	if status, err := u.getFrom("127.0.0.9", "/healthz"); status != 200 || err != nil {
		t.Errorf("another client: %d, %v", status, err)
	}
	if !isOpen(t, busy[0]) || !isOpen(t, busy[1]) || isOpen(t, busy[2]) || !isOpen(t, busy[3]) {
		t.Error("not the newest connection of the client with the most was closed")
	}
}

// heldSearches lets a search wait until the test says so, or until its client has gone.
type heldSearches struct {
	fakeSearches
	started chan struct{}
	leave   chan struct{}
}

func (h heldSearches) Search(ctx context.Context, t fhir.Type, query string) (searchset.Answer, error) {
	h.started <- struct{}{}
	select {
	case <-h.leave:
	case <-ctx.Done():
		return searchset.Answer{}, context.Cause(ctx)
	}
	return h.fakeSearches.Search(ctx, t, query)
}

// scarceListener has no file descriptor for the next connections.
type scarceListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *scarceListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestNoFilesLeft checks that idle connections are closed when no connection can be accepted, and
// that the server continues when there is none.
func TestNoFilesLeft(t *testing.T) {
	u := startServer(t)
	s := u.Config.Handler.(*Server)
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scarce := &scarceListener{Listener: local}
	h := &http.Server{Handler: s}
	l := s.Listen(h, scarce, nil)
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	defer func() {
		_ = h.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	}()
	var idle []net.Conn
	for n := range 3 {
		idle = append(idle, dialFrom(t, "127.0.0.2", local.Addr().String()))
		eventually(t, "the connection counts", func() bool { return s.connections.Used() == int64(n+1) })
	}
	scarce.failures.Store(2) // the accept that waits already succeeds
	for range 2 {
		c := dialFrom(t, "127.0.0.3", local.Addr().String())
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if answer, err := io.ReadAll(c); err != nil || len(answer) == 0 {
			t.Errorf("the answer is %q, %v", answer, err)
		}
	}
	for n, c := range idle {
		if isOpen(t, c) != (n == 2) {
			t.Errorf("idle connection %d is open: %t", n, isOpen(t, c))
		}
	}
}

// bigSearches answers with a page that is larger than the buffers of a connection. It counts the
// pages that exist at a time.
type bigSearches struct {
	fakeSearches
	size int64
}

var bigPage = make([]byte, 1<<20)

func (b bigSearches) Search(ctx context.Context, _ fhir.Type, _ string) (searchset.Answer, error) {
	if err := share.Reserve(ctx, b.size); err != nil {
		return searchset.Answer{}, err
	}
	return searchset.Answer{Body: bigPage[:b.size]}, nil
}

// TestUnreadPages requests large pages and does not read them. The memory of all answers stays
// within its limit, a client that has too many gets 429, and another client is answered.
func TestUnreadPages(t *testing.T) {
	const page, memory, clients, each = 1 << 20, 6<<20 + 1<<19, 8, 4
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) {
		c.Searches, c.Observer = bigSearches{size: page}, observer
		c.Limits.Memory, c.Limits.ClientMemory = memory, 5*page/2
	})
	s := u.Config.Handler.(*Server)
	request := func(n int) {
		for range each {
			c := dialFrom(t, fmt.Sprintf("127.0.1.%d", n+1), u.Listener.Addr().String())
			_, _ = io.WriteString(c, "GET /api/v1/fhir/Practitioner?name=a HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	refused := func(limit string, least int) func() bool {
		return func() bool {
			if used := s.memory.Used(); used > memory {
				t.Fatalf("%d bytes are used", used)
			}
			observer.mu.Lock()
			defer observer.mu.Unlock()
			return observer.refused[limit] >= least
		}
	}
	request(0)
	eventually(t, "a client that has two pages gets no third", refused(RefusedMemory, each-2))
	for n := range clients {
		request(n + 1)
	}
	eventually(t, "a client gets no page if the others have only one", refused(RefusedFull, 1))
	for range 10 {
		if status, err := u.getFrom("127.0.2.1", "/api/v1/fhir/Practitioner/1"); status != 200 || err != nil {
			t.Errorf("a read of another client: %d, %v", status, err)
		}
	}
	if used := s.memory.Used(); used > memory {
		t.Errorf("%d bytes are used", used)
	}
	u.CloseClientConnections()
	eventually(t, "the memory is free", func() bool { return s.memory.Used() == 0 })
}

// TestMemoryOfBodies sends bodies without their ends. They count as far as they were sent.
func TestMemoryOfBodies(t *testing.T) {
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) {
		c.Limits.Memory, c.Limits.ClientMemory, c.Observer = 24<<20, 4<<20, observer // room for five clients
	})
	s := u.Config.Handler.(*Server)
	const head = "POST /api/v1/fhir/$export HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\nContent-Type: application/fhir+json\r\n"
	send := func(n int, body string) {
		for _, framing := range []string{"Content-Length: 1048576\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n100000\r\n", "Content-Length: 1000000\r\n\r\n"} {
			c := dialFrom(t, fmt.Sprintf("127.0.1.%d", n+1), u.Listener.Addr().String())
			_, _ = io.WriteString(c, head+framing+body)
		}
	}
	for n := range 64 {
		send(n, "{")
	}
	eventually(t, "all bodies have begun", func() bool { return s.memory.Used() >= 64*3*requestBytes })
	if used := s.memory.Used(); used > 64*3*2*requestBytes {
		t.Errorf("%d bytes are used by bodies of one byte", used)
	}
	for n := range 5 {
		send(100+n, strings.Repeat(" ", 999_999))
	}
	eventually(t, "bodies are refused", func() bool {
		observer.mu.Lock()
		defer observer.mu.Unlock()
		return observer.refused[RefusedMemory] >= 5
	})
	if used := s.memory.Used(); used > 24<<20 {
		t.Errorf("%d bytes are used", used)
	}
	r := u.request("POST", "/api/v1/fhir/$export", parameters, "Prefer: respond-async", "Content-Type: application/fhir+json")
	u.wantStatus(r, 202, "")
}

// TestUnreadDownloads downloads large files that are not read. The files that are open stay within
// the limit, and another client downloads.
func TestUnreadDownloads(t *testing.T) {
	text := ndjsonOfSize(2 << 20)
	u := startWithFile(t, text, func(c *Config) { c.Limits.Connections, c.Limits.Downloads = 40, 5 })
	s := u.Config.Handler.(*Server)
	for n := range 6 {
		for range 8 {
			c := dialFrom(t, fmt.Sprintf("127.0.1.%d", n+1), u.Listener.Addr().String())
			_, _ = io.WriteString(c, "GET "+filePath+" HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	eventually(t, "downloads run", func() bool { return s.downloads.Used() >= 5 })
	if status, err := u.getFrom("127.0.2.1", filePath); status != 200 || err != nil {
		t.Errorf("a download of another client: %d, %v", status, err)
	}
	if most := s.Pools()["downloads"].Largest(); most < 1 || most > 5 {
		t.Errorf("a client downloads %d files", most)
	}
	if s.downloads.Used() > 40 || s.connections.Used() > 40 {
		t.Errorf("%d downloads, %d connections", s.downloads.Used(), s.connections.Used())
	}
}

// TestLateBreakOff breaks off an answer after its request has ended, on both versions of HTTP. The
// connection serves the next request.
func TestLateBreakOff(t *testing.T) {
	u := startHTTP2(t)
	outs := make(chan *responseRecorder, 1)
	handler := u.server.handler
	u.server.handler = u.server.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outs <- w.(*responseRecorder)
		handler.ServeHTTP(w, r)
	}))
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: u.config.Clone(), ForceAttemptHTTP2: http2}
		for range 3 {
			r, err := (&http.Client{Transport: transport}).Get("https://" + u.address + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err != nil || string(body) != "ok\n" {
				t.Errorf("HTTP/2 %t: %q, %v", http2, body, err)
			}
			out := <-outs
			eventually(t, "the request ends", func() bool {
				out.ending.Lock()
				defer out.ending.Unlock()
				return out.ended
			})
			out.breakOff()
		}
		transport.CloseIdleConnections()
	}
}
