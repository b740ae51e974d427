package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"muster/internal/testkit"
)

var connectionScenarios = []scenario{
	{
		name: "idle", about: "more idle connections than the server has descriptors, while a large export runs", alone: true,
		setup:  setup{descriptors: 320},
		attack: useUpDescriptors,
		verify: func(_ context.Context, s *stage) {
			if log := s.server.Log(); strings.Contains(log, "disk") {
				s.breach("the log blames the disk: %s", tail(log))
			}
		},
	},
	{
		name: "idle-many", about: "10,000 idle connections, half of them after a request",
		attack: func(ctx context.Context, a *attacker) { a.idle(ctx, a.share(10_000)) },
	},
	{
		name: "slow-headers", about: "1,000 connections that send a line of a header each second",
		attack: func(ctx context.Context, a *attacker) {
			head := "GET /fhir/metadata HTTP/1.1\r\nHost: " + a.address + "\r\n"
			a.hold(ctx, a.share(1000), http1, false, func(_ context.Context, c net.Conn, _ int) string { return drip(c, head, "X-Slow: 1\r\n") })
		},
	},
	{
		name: "slow-bodies", about: "1,000 connections that send a byte of a body each second",
		attack: func(ctx context.Context, a *attacker) {
			a.hold(ctx, a.share(1000), http1, false, func(_ context.Context, c net.Conn, _ int) string {
				head := fmt.Sprintf("POST /fhir/$export HTTP/1.1\r\nHost: %s\r\nContent-Type: application/fhir+json\r\nAccept: application/fhir+json\r\nPrefer: respond-async\r\nContent-Length: 100000\r\n\r\n", a.address)
				return drip(c, head, " ")
			})
		},
	},
}

// reopenAfter is the pause before a connection is opened again.
const reopenAfter = 500 * time.Millisecond

// hold keeps n connections open until ctx ends, and uses each one until use returns, with
// what has happened to it.
func (a *attacker) hold(ctx context.Context, n int, protocol string, slow bool, use func(ctx context.Context, c net.Conn, n int) string) {
	parallel(ctx, n, func(n int) {
		if a.opening.Wait(ctx) != nil {
			return
		}
		event := "not connected"
		if c, err := a.dial(ctx, a.from, protocol, slow); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			event = use(ctx, c, n)
			stop()
			_ = c.Close()
		}
		if ctx.Err() == nil {
			a.count(event)
			pause(ctx, reopenAfter)
		} else if event != "not connected" {
			a.count("open at the end")
		}
	})
}

// idle holds idle connections: a half sends nothing, with TLS not even the handshake, and
// a half one request.
func (a *attacker) idle(ctx context.Context, n int) {
	parallel(ctx, 2, func(half int) {
		if half == 0 {
			a.hold(ctx, n/2, noTLS, false, func(_ context.Context, c net.Conn, _ int) string { return untilClosed(c) })
			return
		}
		a.hold(ctx, n-n/2, http1, false, func(_ context.Context, c net.Conn, _ int) string {
			if _, err := io.WriteString(c, a.get(a.root()+"/healthz", "")); err != nil {
				return "closed"
			}
			return untilClosed(c)
		})
	})
}

// untilClosed reads until the server closes the connection.
func untilClosed(c net.Conn) string {
	_, _ = io.Copy(io.Discard, c)
	return "closed"
}

// drip sends a head at once and then a piece each second, until there is an answer.
func drip(c net.Conn, head, piece string) string {
	next, begin := head, make([]byte, 64)
	for {
		if _, err := io.WriteString(c, next); err != nil {
			return "closed"
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(begin)
		switch {
		case n > 0:
			return statusOf(begin[:n])
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return "closed"
		}
		next = piece
	}
}

// useUpDescriptors holds idle connections, while the first attacker exports everything: no
// such export may fail.
func useUpDescriptors(ctx context.Context, a *attacker) {
	if a.n == 0 {
		go parallel(ctx, 1, func(int) {
			got := a.kickOff(ctx, testkit.Parameters("", everything...))
			if got.status != http.StatusAccepted {
				pause(ctx, time.Second)
				return
			}
			if got = a.follow(ctx, got.header.Get("Content-Location")); got.status == http.StatusInternalServerError {
				a.breach("an export failed: %.190s", got.body)
			}
		})
	}
	a.idle(ctx, a.share(800))
}
