package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"muster/internal/testkit"

	"github.com/google/uuid"
)

var requestScenarios = []scenario{
	{
		name: "refused", about: "20 MB/s of refused and unrouted requests with long paths",
		setup:   setup{serve: []string{"--audit-size", "4"}},
		prepare: markAudit, attack: refused, verify: markIsKept,
	},
	{
		name: "forwarded", about: "clients behind a proxy on this machine, which write their address in many ways",
		viaProxy: true, setup: setup{proxy: true}, attack: forwarded,
	},
	{
		name: "cl-te", about: "requests with Content-Length and Transfer-Encoding",
		attack: func(ctx context.Context, a *attacker) {
			parallel(ctx, 1, func(int) { a.smuggle(ctx); pause(ctx, 50*time.Millisecond) })
		},
	},
	{
		name: "unknown-host", about: "requests for another host than that of the base URL", alone: true,
		attack: func(ctx context.Context, a *attacker) {
			parallel(ctx, 1, func(int) { a.misdirect(ctx); pause(ctx, 50*time.Millisecond) })
		},
	},
}

// refusedBytes is what all attackers send in a second.
const refusedBytes = 20_000_000

// refused sends requests that are refused or have no route, as fast as the pace allows, and
// does not wait for the answers.
func refused(ctx context.Context, a *attacker) {
	path := strings.Repeat("x", 15_000)
	head := fmt.Sprintf(" HTTP/1.1\r\nHost: %s\r\n", a.address)
	requests := []string{
		"GET /" + path + head + "\r\n",
		"GET /fhir/" + path + head + "\r\n",
		"GET /fhir/Practitioner/" + path + head + "\r\n",
		"GET /fhir/Practitioner?" + path + "=1" + head + "\r\n",
		"DELETE /fhir/Location/" + path + head + "\r\n",
		"GET /fhir/Location/" + path + head + "X-Request-ID: 1\r\n\r\n",
	}
	pace := a.pace(refusedBytes, 64<<10)
	a.hold(ctx, 4, http1, false, func(ctx context.Context, c net.Conn, n int) string {
		go io.Copy(io.Discard, c) // ends with the connection
		for ; ; n++ {
			text := requests[n%len(requests)]
			if pace.WaitN(ctx, len(text)) != nil {
				return "ended"
			}
			if _, err := io.WriteString(c, text); err != nil {
				return "closed"
			}
			a.count("sent")
		}
	})
}

// marks are the ids of two requests before the attack, which the audit log must keep.
const marks = "audit mark "

// markAudit sends a request whose audit line must stay.
func markAudit(ctx context.Context, s *stage) {
	id := uuid.NewString()
	request(ctx, s.client(honestAddress, false), http.MethodGet, s.base+"/metadata", "", "X-Request-ID", id)
	s.remember(marks + id)
}

// markIsKept checks that the audit log still has the line of [markAudit].
func markIsKept(_ context.Context, s *stage) {
	text, err := s.auditLog()
	if err != nil {
		s.breach("read the audit log: %v", err)
		return
	}
	for _, one := range s.remembered() {
		if id, ok := strings.CutPrefix(one, marks); ok && !bytes.Contains(text, []byte(id)) {
			s.breach("the audit log has lost the line of a request from before the attack")
		}
	}
}

// auditLog returns the audit log with its rotated files.
func (s *stage) auditLog() (all []byte, err error) {
	files, err := filepath.Glob(filepath.Join(s.env.Data, "audit*"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		text, err := readAudit(path)
		if err != nil && !os.IsNotExist(err) { // rotated meanwhile
			return nil, err
		}
		all = append(all, text...)
	}
	return all, nil
}

func readAudit(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		return io.ReadAll(f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// forwardedPerSecond is how many requests all clients behind the proxy send in a second.
const forwardedPerSecond = 2400

// forwarded is a client behind a proxy. Whatever it puts before the entry of the proxy, and
// however the proxy writes that, no more requests may pass than it is allowed.
func forwarded(ctx context.Context, a *attacker) {
	pace := a.pace(forwardedPerSecond, 10)
	allowed := float64(ratePerClient)
	if a.form() == wideIPv6 {
		allowed *= 4
	}
	start, passed := time.Now(), 0
	for n := 0; pace.Wait(ctx) == nil; n++ {
		got := a.send(ctx, http.MethodGet, a.base+"/nothing", "", "X-Forwarded-For", a.forwardedFor(n))
		if got.status == 0 || got.status == http.StatusTooManyRequests {
			continue
		}
		passed++
		if most := allowed * (time.Since(start).Seconds() + 2) * 1.1; float64(passed) > most+1 { // the burst is the rate of two seconds
			a.breach("%d requests of one client pass in %v, whose proxy writes %s", passed, time.Since(start).Round(time.Second), a.forwardedFor(n))
			return
		}
	}
}

// The ways to write the address of a client.
const (
	plainIPv4 = iota
	portIPv4
	portIPv6 // an IPv6 client that changes its address within its /64
	wideIPv6 // an IPv6 client that changes its /64 within its /48
	forms
)

func (a *attacker) form() int { return (a.n + 1) % forms }

// forwardedFor returns the header field of request n.
func (a *attacker) forwardedFor(n int) string {
	client, port := a.n/forms+1, 1024+n%60000
	var last string
	switch a.form() {
	case plainIPv4:
		last = fmt.Sprintf("203.0.113.%d", client)
	case portIPv4:
		last = fmt.Sprintf("203.0.113.%d:%d", 100+client, port)
	case portIPv6:
		last = fmt.Sprintf("[2001:db8:%x:1::%x]:%d", client, n%0xffff, port)
	case wideIPv6:
		last = fmt.Sprintf("2001:db8:%x:%x::1", 0x1000+client, n%0xffff)
	}
	return fmt.Sprintf("10.1.%d.%d, %s", n/256%256, n%256, last)
}

// smuggle sends a request with two lengths and another request behind it. The server must
// answer once and close the connection.
func (a *attacker) smuggle(ctx context.Context) {
	c, err := a.dial(ctx, a.from, http1, false)
	if err != nil {
		a.count("not connected")
		return
	}
	defer c.Close()
	body := testkit.Parameters("", "Location?_id=nothing")
	_, _ = fmt.Fprintf(c, "POST /fhir/$export HTTP/1.1\r\nHost: %s\r\nContent-Type: application/fhir+json\r\nAccept: application/fhir+json\r\nPrefer: respond-async\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"%x\r\n%s\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", a.address, len(body), body, a.address)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(c)
	answers := bytes.Count(text, []byte("HTTP/1.1 "))
	a.count(fmt.Sprintf("%d answers", answers))
	switch {
	case answers > 1:
		a.breach("a request with Content-Length and Transfer-Encoding is answered, and the one behind it too")
	case os.IsTimeout(err):
		a.breach("the connection stays open after a request with Content-Length and Transfer-Encoding")
	case answers == 0 && ctx.Err() == nil:
		a.count("closed")
	}
}

// misdirect sends requests for another host, which the server must not answer.
func (a *attacker) misdirect(ctx context.Context) {
	for _, first := range []string{"GET /fhir/metadata", "GET /fhir/Location?address-city=Balmain", "GET /metrics", "GET http://elsewhere.example/fhir/metadata"} {
		c, err := a.dial(ctx, a.from, http1, false)
		if err != nil {
			a.count("not connected")
			continue
		}
		host := "elsewhere.example"
		if strings.Contains(first, host) {
			host = a.address
		}
		_, _ = fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\n\r\n", first, host)
		status := readStatus(c, 10*time.Second)
		_ = c.Close()
		if ctx.Err() != nil {
			return
		}
		a.count(status)
		if status != "421" && status != "429" {
			a.breach("%s with the host elsewhere.example is answered with %s, not with 421", first, status)
		}
	}
}
