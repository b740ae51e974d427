package server

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"muster/internal/auth"

	"golang.org/x/time/rate"
)

// Limits are the limits of requests and of clients. The limits of a request cannot be
// switched off: zero selects the default. For the limits of a client zero means no limit.
type Limits struct {
	Body       int64 // bytes of a body (413). Defaults to DefaultMaxBody.
	Header     int   // bytes of all header fields (431). Defaults to DefaultMaxHeader.
	URL        int   // bytes of the URL (414). Defaults to DefaultMaxURL.
	Parameters int   // parameters in the URL (400). Defaults to DefaultMaxParameters.

	// Rate is the number of requests that a client may make per second, with bursts of up
	// to Burst requests (429, RL-04). Burst defaults to twice Rate.
	Rate  float64
	Burst int
	// Downloads is the number of files that a client may download at a time (429).
	Downloads int
	// Searches is the number of searches of a client that run at a time. Further searches
	// wait for one to end, for at most searchWait (429). It must be lower than the number of
	// database connections that searches share, so that one client cannot occupy them all.
	Searches int
}

func (l Limits) withDefaults() Limits {
	l.Body = cmp.Or(max(0, l.Body), DefaultMaxBody)
	l.Header = cmp.Or(max(0, l.Header), DefaultMaxHeader)
	l.URL = cmp.Or(max(0, l.URL), DefaultMaxURL)
	l.Parameters = cmp.Or(max(0, l.Parameters), DefaultMaxParameters)
	l.Rate = max(0, l.Rate)
	l.Burst = cmp.Or(max(0, l.Burst), int(math.Ceil(2*l.Rate)))
	l.Downloads = max(0, l.Downloads)
	l.Searches = max(0, l.Searches)
	return l
}

// HeaderBytes is what http.Server.MaxHeaderBytes must be, so that these limits are
// met first, and answered with an OperationOutcome.
func (l Limits) HeaderBytes() int {
	l = l.withDefaults()
	return 2 * (l.URL + l.Header)
}

// check holds a request against its limits, before anything reads it.
func (l Limits) check(r *http.Request) error {
	if len(r.RequestURI) > l.URL {
		return refusal{kind: tooLong, text: fmt.Sprintf("The address has %d bytes and may have %d: ask for less in one request.", len(r.RequestURI), l.URL)}
	}
	size := 0
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	if size > l.Header {
		return refusal{kind: tooManyFields, text: fmt.Sprintf("The header has %d bytes and may have %d: send fewer or shorter fields.", size, l.Header)}
	}
	if n := strings.Count(r.URL.RawQuery, "&") + 1; n > l.Parameters {
		return refusal{kind: tooManyParameters, text: fmt.Sprintf("The address has %d parameters and may have %d: ask for less in one request.", n, l.Parameters)}
	}
	return nil
}

// identify finds out who asks, for the audit log and for the limits.
func (s *Server) identify(r *http.Request, x *exchange) {
	x.event.Remote = remoteOf(r)
	if forwarded := r.Header.Values("X-Forwarded-For"); s.BehindProxy && len(forwarded) > 0 {
		// The last entry is the proxy's own; those before it are what the client says.
		list := forwarded[len(forwarded)-1]
		last := strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
		if address, err := netip.ParseAddr(last); err == nil {
			x.event.Remote = address.String()
		}
	}
	if p := auth.From(r.Context()); p.ID != auth.Anonymous.ID {
		x.client = "principal " + p.ID
		return
	}
	x.client = "address " + network(x.event.Remote)
}

// remoteOf is the address of the other end of the connection, without its port.
func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// network is the part of an address that one client has to itself: of IPv6 the first
// 64 bits, for the others it may choose at will.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	prefix, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}

// clients are those that asked lately, with what they have used up.
type clients struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	all     map[string]*client
	cleared time.Time
}

// client is one of them. Its fields belong to clients.mu.
type client struct {
	rate      *rate.Limiter
	downloads int
	searches  chan struct{} // holds one for each search that runs
	seen      time.Time
}

// A client that was not seen for forgetAfter, and downloads nothing, is forgotten. There
// are never more than mostClients: beyond, new ones share one entry.
const (
	forgetAfter = time.Minute
	mostClients = 100_000
	overflow    = "everybody else"
)

func newClients(l Limits, now func() time.Time) *clients {
	return &clients{limits: l, now: now, all: map[string]*client{}, cleared: now()}
}

// of returns the entry of a client. The caller holds mu.
func (c *clients) of(name string) *client {
	now := c.now()
	c.forget(now)
	one := c.all[name]
	if one == nil && len(c.all) >= mostClients {
		name = overflow
		one = c.all[name]
	}
	if one == nil {
		one = &client{rate: rate.NewLimiter(rate.Limit(c.limits.Rate), c.limits.Burst), searches: make(chan struct{}, c.limits.Searches)}
		c.all[name] = one
	}
	one.seen = now
	return one
}

// forget drops those who have gone. By then their allowance is whole again or nearly.
func (c *clients) forget(now time.Time) {
	if now.Sub(c.cleared) < forgetAfter {
		return
	}
	c.cleared = now
	for name, one := range c.all {
		if one.downloads == 0 && now.Sub(one.seen) >= forgetAfter {
			delete(c.all, name)
		}
	}
}

// allow takes one request from the client's allowance, or tells how long to wait.
func (c *clients) allow(name string) (wait time.Duration) {
	if c.limits.Rate == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one, now := c.of(name), c.now()
	taken := one.rate.ReserveN(now, 1)
	if wait = taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

// startDownload counts a download until ended is called; ended is nil when the client has
// as many as it may have.
func (c *clients) startDownload(name string) (ended func()) {
	if c.limits.Downloads == 0 {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(name)
	if one.downloads >= c.limits.Downloads {
		return nil
	}
	one.downloads++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.downloads--
		one.seen = c.now()
	}
}

// searches returns what holds the searches of a client that run.
func (c *clients) searches(name string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(name).searches
}

// allow holds the client of a request against its rate (RL-04).
func (s *Server) allow(r *http.Request) error {
	wait := s.clients.allow(exchangeOf(r).client)
	if wait == 0 {
		return nil
	}
	s.refused(RefusedRate)
	return throttled(int(math.Ceil(wait.Seconds())), fmt.Sprintf("You ask faster than %g times a second: wait the seconds in Retry-After before the next request.", s.Limits.Rate))
}

// downloadWait is the Retry-After, in seconds, for a client that has too many downloads.
const downloadWait = 5

// startDownload holds the client of a request against its downloads.
func (s *Server) startDownload(r *http.Request) (ended func(), err error) {
	if ended = s.clients.startDownload(exchangeOf(r).client); ended != nil {
		return ended, nil
	}
	s.refused(RefusedDownload)
	return nil, throttled(downloadWait, fmt.Sprintf("You are fetching %d files already, and may fetch no more at a time: wait for one to end.", s.Limits.Downloads))
}

// searchWait is how long a search waits for others of the same client to end. It is how
// long the store lets a search run, so that those that wait do so behind as slow ones.
const searchWait = 5 * time.Second

// inTurn runs a search when the client has fewer running than it may.
func (s *Server) inTurn(r *http.Request, search func() error) error {
	if s.clients.limits.Searches == 0 {
		return search()
	}
	running := s.clients.searches(exchangeOf(r).client)
	late := time.NewTimer(searchWait)
	defer late.Stop()
	select {
	case running <- struct{}{}:
		defer func() { <-running }()
		return search()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	case <-late.C:
	}
	s.refused(RefusedSearch)
	return throttled(int(searchWait.Seconds()), fmt.Sprintf("%d searches of yours are running already, and no more may at a time: wait for one to end.", s.clients.limits.Searches))
}

func throttled(seconds int, text string) error {
	return refusal{kind: tooFast, text: text, header: http.Header{"Retry-After": {strconv.Itoa(max(1, seconds))}}}
}

// refused tells the observer what a limit has refused.
func (s *Server) refused(what string) {
	if s.Observer != nil {
		s.Observer.Refused(what)
	}
}
