package server

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"muster/internal/auth"
	"muster/internal/client"

	"golang.org/x/time/rate"
)

// Limits are the limits of requests and of clients. The limits of a request cannot be
// disabled: zero selects the default. For the limits of a client, zero means no limit.
type Limits struct {
	// Body is the maximum number of bytes of a body (413). Defaults to 1 MiB.
	Body int64
	// Header is the maximum number of bytes of all header fields (431). Defaults to 32 KiB.
	Header int
	// URL is the maximum number of bytes of a URL (414). Defaults to 16 KiB.
	URL int
	// Parameters is the maximum number of parameters in a URL (400). Defaults to 200.
	Parameters int

	// Rate is the maximum number of requests of a client per second (429, RL-04). Zero means
	// no limit. The policy of a client may set its own.
	Rate float64
	// Burst is the number of requests that a client may send at once. Defaults to twice Rate.
	Burst int
	// Downloads is the maximum number of concurrent downloads of a client (429). Zero means
	// no limit.
	Downloads int
	// Searches is the maximum number of concurrent searches of a client. Further searches
	// wait up to searchWait for a slot (429). The pool of database connections for searches
	// is larger, so that one client cannot occupy all of them. Zero means no limit.
	Searches int

	// Connections is the maximum number of open connections, and of downloads, of all clients.
	// Beyond it, connections of the client with the most are closed for those of others, idle
	// ones first. Defaults to 1024.
	Connections int
	// ClientConnections is the maximum number of open connections of one client; further ones
	// are closed at once. Proxies have no such limit. Zero means no limit.
	ClientConnections int
	// Memory is the maximum number of bytes of all requests and answers under way (503). Beyond
	// it, answers of the client with the most are broken off for those of others. Defaults to
	// 64 MiB.
	Memory int64
	// ClientMemory is the maximum number of bytes of requests and answers of one client (429).
	// An answer beyond it counts as much as it. Zero means no limit.
	ClientMemory int64
}

func (l Limits) withDefaults() Limits {
	l.Body = cmp.Or(max(0, l.Body), DefaultMaxBody)
	l.Header = cmp.Or(max(0, l.Header), DefaultMaxHeader)
	l.URL = cmp.Or(max(0, l.URL), DefaultMaxURL)
	l.Parameters = cmp.Or(max(0, l.Parameters), DefaultMaxParameters)
	l.Rate = max(0, l.Rate)
	l.Burst = cmp.Or(max(0, l.Burst), burstOf(l.Rate))
	l.Downloads = max(0, l.Downloads)
	l.Searches = max(0, l.Searches)
	l.Connections = cmp.Or(max(0, l.Connections), DefaultConnections)
	l.ClientConnections = max(0, l.ClientConnections)
	l.Memory = cmp.Or(max(0, l.Memory), DefaultMemory)
	l.ClientMemory = max(0, l.ClientMemory)
	return l
}

// of returns the limits of a client with a policy.
func (l Limits) of(p auth.Policy) Limits {
	if p.Rate > 0 {
		l.Rate, l.Burst = p.Rate, burstOf(p.Rate)
	}
	l.Downloads = cmp.Or(max(0, p.Downloads), l.Downloads)
	return l
}

// burstOf returns how many requests a client with a rate may send at once.
func burstOf(perSecond float64) int { return int(math.Ceil(2 * perSecond)) }

// HeaderBytes returns the value for http.Server.MaxHeaderBytes with which these limits
// apply first and are answered with an OperationOutcome.
func (l Limits) HeaderBytes() int {
	l = l.withDefaults()
	return 2 * (l.URL + l.Header)
}

// check checks the size of a request before its body is read.
func (l Limits) check(r *http.Request) error {
	if len(r.RequestURI) > l.URL {
		return refusal{kind: urlTooLong, text: fmt.Sprintf("The URL has %d bytes, and the limit is %d: request less at a time.", len(r.RequestURI), l.URL)}
	}
	size := 0
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	if size > l.Header {
		return refusal{kind: headerTooLarge, text: fmt.Sprintf("The header has %d bytes, and the limit is %d: send fewer or shorter fields.", size, l.Header)}
	}
	if n := strings.Count(r.URL.RawQuery, "&") + 1; n > l.Parameters {
		return refusal{kind: tooManyParameters, text: fmt.Sprintf("The URL has %d parameters, and the limit is %d: request less at a time.", n, l.Parameters)}
	}
	return nil
}

// locate determines the address of the client of a request, for the audit log and the limits. A
// request whose X-Forwarded-For is not understood counts for the proxy, so that no header evades a
// limit.
func (s *Server) locate(r *http.Request, x *requestState) {
	x.event.Remote = remoteAddress(r)
	peer, _ := netip.ParseAddr(x.event.Remote)
	x.address = peer.Unmap()
	if s.trusts(x.address) {
		forwarded, err := client.Forwarded(r.Header.Values("X-Forwarded-For"), s.isTrustedProxy)
		switch {
		case err != nil:
			s.reportForwarded(x.address)
		case forwarded.IsValid():
			x.address = forwarded
			x.event.Remote = forwarded.String()
		}
	}
}

// fromProxy reports whether a proxy sent the request, whose connection other clients use too.
func (s *Server) fromProxy(r *http.Request) bool {
	peer, _ := netip.ParseAddr(remoteAddress(r))
	return s.trusts(peer.Unmap())
}

// trusts reports whether the server reads the X-Forwarded-For that a peer has sent.
func (s *Server) trusts(peer netip.Addr) bool {
	return s.BehindProxy && (len(s.TrustedProxies) == 0 || s.isTrustedProxy(peer))
}

// isTrustedProxy reports whether an address is one of Config.TrustedProxies.
func (s *Server) isTrustedProxy(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a.Unmap().WithZone("")) })
}

// reportForwarded counts a request with an X-Forwarded-For that is not understood, and logs the
// first one. The value may identify a person, so it is not repeated.
func (s *Server) reportForwarded(peer netip.Addr) {
	if s.Observer != nil {
		s.Observer.NotForwarded()
	}
	s.forwardedLogged.Do(func() {
		s.Logger.Warn("X-Forwarded-For holds an entry that is not an address, so the request counts for the proxy: configure the proxy to append the address of its client; later requests are only counted", "proxy", peer.String())
	})
}

// remoteAddress returns the address of the peer, without its port.
func remoteAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// clients are the recent clients and their usage.
type clients struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	byName  map[string]*usage
	evicted time.Time
}

// usage is the usage of one client. Its fields are protected by clients.mu.
type usage struct {
	rate      *rate.Limiter
	refusals  *rate.Limiter // of requests beyond rate, until the client floods the server
	shutUntil time.Time     // no new connections until then
	searches  chan struct{} // holds one for each search that runs
	lastSeen  time.Time
}

// A client without requests for idleTimeout and without searches is evicted. There are
// never more than maxClients entries; further clients share the entry overflow.
const (
	idleTimeout = time.Minute
	maxClients  = 100_000
	overflow    = "other clients"
)

func newClients(l Limits, now func() time.Time) *clients {
	return &clients{limits: l, now: now, byName: map[string]*usage{}, evicted: now()}
}

// entry returns the entry of an allowance of a client. The caller holds mu.
func (c *clients) entry(a client.Allowance) *usage {
	now := c.now()
	c.evictIdle(now)
	one := c.byName[a.Name]
	if one == nil && len(c.byName) >= maxClients {
		a = client.Allowance{Name: overflow, Factor: 1}
		one = c.byName[a.Name]
	}
	if one == nil {
		one = &usage{
			rate:     rate.NewLimiter(rate.Limit(c.limits.Rate*float64(a.Factor)), c.limits.Burst*a.Factor),
			refusals: rate.NewLimiter(rate.Limit(c.limits.Rate*float64(a.Factor)), c.limits.Burst*a.Factor),
			searches: make(chan struct{}, c.limits.Searches*a.Factor),
		}
		c.byName[a.Name] = one
	}
	one.lastSeen = now
	return one
}

// entries returns the entries of all allowances of a client. The caller holds mu.
func (c *clients) entries(of client.Client) []*usage {
	var all []*usage
	for _, a := range of.Allowances() {
		if one := c.entry(a); !slices.Contains(all, one) { // two allowances may share overflow
			all = append(all, one)
		}
	}
	return all
}

// evictIdle evicts idle clients. Their rate limiters are full again, or nearly so.
func (c *clients) evictIdle(now time.Time) {
	if now.Sub(c.evicted) < idleTimeout {
		return
	}
	c.evicted = now
	for name, one := range c.byName {
		if len(one.searches) == 0 && now.Sub(one.lastSeen) >= idleTimeout {
			delete(c.byName, name)
		}
	}
}

// setRate sets the rate of a client, which may have changed. Clients that share the entry overflow
// keep the rate of all. The caller holds mu.
func (c *clients) setRate(of client.Client, l Limits) {
	for _, a := range of.Allowances() {
		one := c.byName[a.Name]
		if one == nil {
			continue
		}
		for _, limiter := range []*rate.Limiter{one.rate, one.refusals} {
			if limit, burst := rate.Limit(l.Rate*float64(a.Factor)), l.Burst*a.Factor; limiter.Limit() != limit || limiter.Burst() != burst {
				limiter.SetLimitAt(c.now(), limit)
				limiter.SetBurstAt(c.now(), burst)
			}
		}
	}
}

// takeRequest takes one request from each rate limiter of the client, which has limits of its own,
// or returns how long to wait.
func (c *clients) takeRequest(of client.Client, l Limits) (wait time.Duration) {
	if l.Rate == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	var taken []*rate.Reservation
	entries := c.entries(of)
	c.setRate(of, l)
	for _, one := range entries {
		r := one.rate.ReserveN(now, 1)
		taken = append(taken, r)
		wait = max(wait, r.DelayFrom(now))
	}
	if wait > 0 {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	return wait
}

// floods counts a request that is refused because of its rate, as often as cost says, and reports
// whether the client continues to send more than twice as many as it may. Then the server accepts
// none of its connections for floodPause.
func (c *clients) floods(of client.Client, cost int) (floods bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.entries(of) {
		if !one.refusals.AllowN(c.now(), min(cost, one.refusals.Burst())) {
			floods, one.shutUntil = true, c.now().Add(floodPause)
		}
	}
	return floods
}

// floodPause is how long the server accepts no connection of a client that floods it.
const floodPause = 10 * time.Second

// isShut reports whether the server accepts no connection of a client.
func (c *clients) isShut(of client.Client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(of.Allowances(), func(a client.Allowance) bool {
		one := c.byName[a.Name]
		return one != nil && c.now().Before(one.shutUntil)
	})
}

// For how many requests some requests count.
const (
	// abandonedCost is the cost of a request that the client abandons: the server has begun the
	// work, and with HTTP/2 it costs a client nothing to send many such requests.
	abandonedCost = 10
	// strangerCost is the cost of a request with a token that is not accepted (TK-14).
	strangerCost = 10
)

// charge counts a request, which takeRequest has counted once, for as many as cost says.
func (c *clients) charge(of client.Client, cost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.entries(of) {
		one.rate.ReserveN(c.now(), min(cost-1, one.rate.Burst()))
	}
}

// searches returns the semaphores of a client's searches.
func (c *clients) searches(of client.Client) (all []chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.entries(of) {
		all = append(all, one.searches)
	}
	return all
}

// checkRate checks the request rate of the client (RL-04).
func (s *Server) checkRate(r *http.Request) error {
	limits := s.clients.limits.of(stateOf(r).principal.Policy)
	wait := s.clients.takeRequest(stateOf(r).from, limits)
	if wait == 0 {
		return nil
	}
	s.countRefusal(RefusedRate)
	err := throttled(int(math.Ceil(wait.Seconds())), fmt.Sprintf("You sent more than %g requests per second: wait for the number of seconds in Retry-After before the next request.", limits.Rate))
	cost := 1
	if r.Context().Err() != nil {
		cost = abandonedCost
	}
	if s.clients.floods(stateOf(r).from, cost) && !s.fromProxy(r) {
		// A refusal costs more than the request that provokes it; a new connection costs the
		// client as much.
		err.header.Set("Connection", "close")
	}
	return err
}

// searchWait is how long a search waits for a slot. It equals the time limit of a search
// in the store, so that a slot becomes free even if all searches that hold one are slow.
const searchWait = 5 * time.Second

// withSearchSlot runs a search when the client has a free slot.
func (s *Server) withSearchSlot(r *http.Request, search func() error) error {
	if s.clients.limits.Searches == 0 {
		return search()
	}
	late := time.NewTimer(searchWait)
	defer late.Stop()
	for _, running := range s.clients.searches(stateOf(r).from) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
		case <-r.Context().Done():
			return context.Cause(r.Context())
		case <-late.C:
			return s.tooManySearches()
		}
	}
	return search()
}

// tooManySearches refuses a search of a client that has as many as it may.
func (s *Server) tooManySearches() error {
	s.countRefusal(RefusedSearch)
	return throttled(int(searchWait.Seconds()), fmt.Sprintf("You are running %d searches, which is the limit: wait for a search to end.", s.clients.limits.Searches))
}

func throttled(seconds int, text string) refusal {
	return refusal{kind: rateLimited, text: text, header: http.Header{"Retry-After": {strconv.Itoa(max(1, seconds))}}}
}

// countRefusal reports an exceeded limit to the observer.
func (s *Server) countRefusal(limit string) {
	if s.Observer != nil {
		s.Observer.Refused(limit)
	}
}
