package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/searchset"
)

// The frames of HTTP/2 that the tests send or read (RFC 9113).
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7

	endStream, endHeaders = 0x1, 0x4
)

// http2Conn is a connection of a client that sends what it likes.
type http2Conn struct{ *tls.Conn }

// dialHTTP2 connects from an address, and sends the preface and empty settings.
func dialHTTP2(t *testing.T, from, address string, config *tls.Config) http2Conn {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	c := http2Conn{tls.Client(dialFrom(t, from, address), config)}
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	_ = c.frame(frameSettings, 0, 0, nil)
	return c
}

// encodeFrame returns a frame.
func encodeFrame(kind, flags byte, stream uint32, payload []byte) []byte {
	f := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(f[5:], stream)
	return append(f, payload...)
}

func (c http2Conn) frame(kind, flags byte, stream uint32, payload []byte) error {
	_, err := c.Write(encodeFrame(kind, flags, stream, payload))
	return err
}

// requestFrame returns the headers of a request: fields without compression.
func requestFrame(stream uint32, method, path string, end bool, fields ...string) []byte {
	text := func(s string) string { return string([]byte{byte(len(s))}) + s }
	block := "\x87" + "\x02" + text(method) + "\x04" + text(path) + "\x01" + text("directory.example")
	for n := 0; n < len(fields); n += 2 {
		block += "\x00" + text(fields[n]) + text(fields[n+1])
	}
	flags := byte(endHeaders)
	if end {
		flags |= endStream
	}
	return encodeFrame(frameHeaders, flags, stream, []byte(block))
}

// read reads a frame.
func (c http2Conn) read() (kind, flags byte, stream uint32, payload []byte, err error) {
	head := make([]byte, 9)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(c, payload)
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]), payload, err
}

// countedSearches counts the searches that run at a time. Each waits until the test ends it.
type countedSearches struct {
	fakeSearches
	running, most atomic.Int64
	leave         chan struct{}
}

func (s *countedSearches) Search(ctx context.Context, t fhir.Type, query string) (searchset.Answer, error) {
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	select {
	case <-s.leave:
	case <-ctx.Done():
		return searchset.Answer{}, context.Cause(ctx)
	}
	return s.fakeSearches.Search(ctx, t, query)
}

// http2Test is a server with TLS.
type http2Test struct {
	*testServer
	server   *Server
	searches *countedSearches
	address  string
	config   *tls.Config
}

func startHTTP2(t *testing.T, change ...func(*Config)) *http2Test {
	t.Helper()
	searches := &countedSearches{leave: make(chan struct{})}
	u := startServer(t, append(change, func(c *Config) { c.Searches = searches })...)
	h := &http2Test{testServer: u, server: u.Config.Handler.(*Server), searches: searches}
	h.address, h.config = startTLS(t, u)
	t.Cleanup(func() { close(searches.leave) }) // before the server ends
	return h
}

// honest checks that another client is answered, over both versions of HTTP.
func (u *http2Test) honest() {
	u.t.Helper()
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: u.config.Clone(), ForceAttemptHTTP2: http2, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.9.1")}}).DialContext}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		r, err := client.Get("https://" + u.address + "/api/v1/fhir/Practitioner/1")
		if err != nil {
			u.t.Errorf("another client, HTTP/2 %t: %v", http2, err)
			continue
		}
		_ = r.Body.Close()
		if r.StatusCode != 200 {
			u.t.Errorf("another client, HTTP/2 %t: %d", http2, r.StatusCode)
		}
		transport.CloseIdleConnections()
	}
}

const searchPath = "/api/v1/fhir/Practitioner?name=a"

// TestManyStreams opens more streams than a connection may have. The others are refused, and those
// of one client count together.
func TestManyStreams(t *testing.T) {
	observer := &countingObserver{}
	u := startHTTP2(t, func(c *Config) { c.Limits.Searches, c.Limits.Rate, c.Limits.Burst, c.Observer = 3, 1, 100, observer })
	c := dialHTTP2(t, "127.0.1.1", u.address, u.config)
	for n := range uint32(200) {
		_, _ = c.Write(requestFrame(2*n+1, "GET", searchPath, true))
	}
	refused := 0
	for refused < 200-maxStreams {
		kind, _, _, payload, err := c.read()
		if err != nil {
			t.Fatalf("after %d refused streams: %v", refused, err)
		}
		if kind == frameReset && binary.BigEndian.Uint32(payload) == 0x7 { // REFUSED_STREAM
			refused++
		}
	}
	eventually(t, "searches run", func() bool { return u.searches.running.Load() == 3 })
	u.honest()
	c2 := dialHTTP2(t, "127.0.1.1", u.address, u.config)
	for n := range uint32(maxStreams) {
		_, _ = c2.Write(requestFrame(2*n+1, "GET", searchPath, true))
	}
	eventually(t, "the rate of the client is exceeded", func() bool {
		observer.mu.Lock()
		defer observer.mu.Unlock()
		return observer.refused[RefusedRate] >= 2*maxStreams-100-1
	})
	if most := u.searches.most.Load(); most != 3 {
		t.Errorf("%d searches of one client ran at once", most)
	}
}

// TestRapidReset opens streams and resets them at once, from four connections. The requests that run
// stay bounded.
func TestRapidReset(t *testing.T) {
	u := startHTTP2(t, func(c *Config) { c.Limits.Searches = 0 })
	var all sync.WaitGroup
	for n := range 4 {
		c := dialHTTP2(t, fmt.Sprintf("127.0.1.%d", n+1), u.address, u.config)
		all.Go(func() { _, _ = io.Copy(io.Discard, c) })
		all.Go(func() {
			defer c.Close()
			for stream := uint32(1); stream < 4000; stream += 2 {
				attack := append(requestFrame(stream, "GET", searchPath, true), encodeFrame(frameReset, 0, stream, []byte{0, 0, 0, 8})...)
				if _, err := c.Write(attack); err != nil {
					return // the server has closed the connection
				}
			}
		})
	}
	u.honest()
	all.Wait()
	u.honest()
	if most := u.searches.most.Load(); most > 4*maxStreams {
		t.Errorf("%d searches ran at once", most)
	}
	eventually(t, "the searches end", func() bool { return u.searches.running.Load() == 0 })
	eventually(t, "the memory is free", func() bool { return u.server.memory.Used() == 0 })
}

// TestAbandonedRequests resets streams whose searches run. Each counts as several requests, and when
// the client continues, its connection is closed.
func TestAbandonedRequests(t *testing.T) {
	t.Attr("requirements", "RL-04")
	observer := &countingObserver{}
	u := startHTTP2(t, func(c *Config) { c.Limits.Searches, c.Limits.Rate, c.Limits.Burst, c.Observer = 0, 0.001, 50, observer })
	c := dialHTTP2(t, "127.0.1.1", u.address, u.config)
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		end <- err
	}()
	stream := uint32(1)
	for n := range 5 {
		_, _ = c.Write(requestFrame(stream, "GET", searchPath, true))
		eventually(t, "the search runs", func() bool { return u.searches.running.Load() == 1 })
		if n == 4 { // the limit lets the client abandon five
			observer.mu.Lock()
			if observer.refused[RefusedRate] != 0 {
				t.Errorf("refused: %v", observer.refused)
			}
			observer.mu.Unlock()
		}
		_, _ = c.Write(encodeFrame(frameReset, 0, stream, []byte{0, 0, 0, 8}))
		eventually(t, "the search ends", func() bool { return u.searches.running.Load() == 0 })
		stream += 2
	}
	eventually(t, "further requests are refused", func() bool {
		_, _ = c.Write(requestFrame(stream, "GET", searchPath, true))
		stream += 2
		observer.mu.Lock()
		defer observer.mu.Unlock()
		return observer.refused[RefusedRate] > 0
	})
	for range 60 {
		_, _ = c.Write(requestFrame(stream, "GET", searchPath, true))
		stream += 2
	}
	if err := <-end; err != nil {
		t.Errorf("the connection ends with %v", err)
	}
	u.honest()
}

// TestControlFloods sends pings and settings, and does not read the answers. The server closes the
// connection or reads no more. Another client is answered meanwhile.
func TestControlFloods(t *testing.T) {
	u := startHTTP2(t)
	for name, frame := range map[string][]byte{
		"ping":     encodeFrame(framePing, 0, 0, make([]byte, 8)),
		"settings": encodeFrame(frameSettings, 0, 0, nil),
	} {
		c := dialHTTP2(t, "127.0.1.1", u.address, u.config)
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		many := bytes.Repeat(frame, 1000)
		done := make(chan int)
		go func() {
			sent := 0
			for ; sent < 50; sent++ {
				if _, err := c.Write(many); err != nil {
					break
				}
			}
			done <- sent
		}()
		u.honest()
		if sent := <-done; sent == 0 {
			t.Errorf("%s: the flood was not sent", name)
		}
		u.honest()
		_ = c.NetConn().Close()
	}
	eventually(t, "the connections are closed", func() bool { return u.server.connections.Used() == 0 })
}

// TestHTTP2Windows checks what a connection may send before it is read.
func TestHTTP2Windows(t *testing.T) {
	u := startHTTP2(t)
	c := dialHTTP2(t, "127.0.1.1", u.address, u.config)
	kind, flags, _, payload, err := c.read()
	if err != nil || kind != frameSettings || flags != 0 {
		t.Fatalf("the first frame is of kind %d, %v", kind, err)
	}
	settings := map[uint16]uint32{}
	for n := 0; n < len(payload); n += 6 {
		settings[binary.BigEndian.Uint16(payload[n:])] = binary.BigEndian.Uint32(payload[n+2:])
	}
	if settings[3] != maxStreams || settings[4] != http2Window || settings[5] != http2Buffer {
		t.Errorf("the settings are %v", settings)
	}
	// A body that no handler reads.
	_, _ = c.Write(requestFrame(1, "GET", searchPath, false))
	for range 10 {
		_ = c.frame(frameData, 0, 1, make([]byte, http2Buffer))
	}
	for {
		kind, _, _, payload, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if kind == frameReset || kind == frameGoAway {
			if code := binary.BigEndian.Uint32(payload[len(payload)-4:]); kind == frameReset && code != 3 { // FLOW_CONTROL_ERROR
				t.Errorf("the stream is reset with %d", code)
			}
			break
		}
	}
	u.honest()
}

// TestSlowConnections has connections over both versions of HTTP that are idle, or send or read
// slowly. Each kind stays within the limits, and another client is answered.
func TestSlowConnections(t *testing.T) {
	const connections, each = 20, 24
	text := ndjsonOfSize(1 << 20)
	u := startHTTP2(t, func(c *Config) {
		c.Limits.Connections, c.Limits.ClientConnections, c.Limits.Memory, c.Limits.ClientMemory = connections, 20, 8<<20, 3<<20
		c.Limits.Downloads = 10
	})
	u.fake.file = storedFile(t, text)
	kickOff := []string{"prefer", "respond-async", "content-type", "application/fhir+json"}
	for _, attack := range []struct {
		name  string
		begin func(c net.Conn) // HTTP/1.1
		frame []byte           // HTTP/2
	}{
		{"idle", func(net.Conn) {}, nil},
		{"slow header", func(c net.Conn) { _, _ = io.WriteString(c, "GET /api/v1/fhir/metadata HTTP/1.1\r\nHos") }, requestFrame(1, "GET", searchPath, true)[:20]},
		{"slow body", func(c net.Conn) {
			_, _ = io.WriteString(c, "POST /api/v1/fhir/$export HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\nContent-Type: application/fhir+json\r\nContent-Length: 1000000\r\n\r\n{")
		}, requestFrame(1, "POST", "/api/v1/fhir/$export", false, kickOff...)},
		{"unread download", func(c net.Conn) { _, _ = io.WriteString(c, "GET "+filePath+" HTTP/1.1\r\nHost: x\r\n\r\n") },
			requestFrame(1, "GET", filePath, true)},
	} {
		var open []net.Conn
		for n := range each {
			from := fmt.Sprintf("127.0.1.%d", n%5+1)
			secure := tls.Client(dialFrom(t, from, u.address), u.config)
			open = append(open, secure)
			if n%2 == 0 {
				config := u.config.Clone()
				config.NextProtos = []string{"h2"}
				secure = tls.Client(secure.NetConn(), config)
			}
			if secure.HandshakeContext(t.Context()) != nil {
				continue // beyond a limit
			}
			if n%2 != 0 {
				attack.begin(secure)
				continue
			}
			_, _ = io.WriteString(secure, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			_, _ = secure.Write(append(encodeFrame(frameSettings, 0, 0, nil), attack.frame...))
		}
		u.honest()
		if n := u.server.connections.Used(); n > connections {
			t.Errorf("%s: %d connections", attack.name, n)
		}
		if n := u.server.memory.Used(); n > 8<<20 {
			t.Errorf("%s: %d bytes", attack.name, n)
		}
		for _, c := range open {
			_ = c.Close()
		}
		eventually(t, attack.name+": the connections are gone", func() bool { return u.server.connections.Used() == 0 && u.server.memory.Used() == 0 })
	}
}
