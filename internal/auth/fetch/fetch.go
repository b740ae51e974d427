// Package fetch reads small JSON documents from web servers that other people run: the metadata and
// keys of issuers, the keys of clients, answers about tokens.
//
// What such a server answers is not trusted. An answer has at most [MaxBytes] and takes at most
// [Timeout], redirects are not followed, and connections use TLS 1.2 or later. A client for URLs that
// strangers choose also refuses addresses that are not public, so that they reach no inner service
// through it. It looks at the address that it connects to, after names were resolved.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"muster/internal/humanize"
)

// The bounds of an answer.
const (
	MaxBytes = 1 << 20         // of the body
	Timeout  = 5 * time.Second // from the start of a request to the last byte of its answer
)

// The times for which an answer may be kept.
const (
	DefaultLife = 5 * time.Minute // of an answer whose headers do not say
	MaxLife     = time.Hour       // of an answer whose headers allow more
)

// Options configures a [Client].
type Options struct {
	// Guarded refuses to connect to addresses that are not public, except in the networks Allowed. A
	// guarded client uses no proxy, since a proxy would connect in its place.
	Guarded bool
	Allowed []netip.Prefix
	// Roots are the certificates of authorities to trust. Defaults to those of the system.
	Roots *x509.CertPool
	// Timeout replaces the constant of the same name, for tests.
	Timeout time.Duration
}

// Client fetches documents. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	timeout time.Duration
}

// New returns a client.
func New(o Options) *Client {
	dialer := &net.Dialer{}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           16,
		IdleConnTimeout:        30 * time.Second,
	}
	if o.Guarded {
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return o.checkAddress(address) }
	} else {
		transport.Proxy = http.ProxyFromEnvironment
	}
	c := &Client{
		http:    &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		timeout: Timeout,
	}
	if o.Timeout > 0 {
		c.timeout = o.Timeout
	}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// checkAddress returns an error if a guarded client must not connect to an address.
func (o *Options) checkAddress(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s is not an IP address", address)
	}
	ip := at.Addr().Unmap().WithZone("")
	for _, network := range o.Allowed {
		if network.Contains(ip) {
			return nil
		}
	}
	if !IsPublic(ip) {
		return fmt.Errorf("the address %s is not public", ip)
	}
	return nil
}

// notPublic are the networks in the space of public addresses that are special (the registries of
// IANA for IPv4 and IPv6), or lead to other addresses.
var notPublic = func() (all []netip.Prefix) {
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

// globalUnicast holds all public addresses of IPv6.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// IsPublic reports whether an address is one of the public internet.
func IsPublic(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.Is6() && !globalUnicast.Contains(ip) {
		return false
	}
	for _, network := range notPublic {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

// CheckURL returns an error if documents must not be fetched from a URL: it must be an absolute URL
// with https, or with http on this machine, without a user, a query or a fragment. The error does
// not repeat the URL.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("write an absolute URL such as https://issuer.example.org")
	case u.User != nil:
		return errors.New("leave out the user and the password: a URL is shown in logs")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return errors.New("leave out the query and the fragment")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		return errors.New("use https: only on this machine, such as http://localhost:8080, is http possible")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("use https")
	}
	return nil
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Answer is a document.
type Answer struct {
	Body []byte
	// Life is the time for which Cache-Control allows to keep the answer; 0 for none. It is
	// [DefaultLife] if the header does not say, and at most [MaxLife].
	Life time.Duration
}

// StatusError means that a server has answered with another status than 200.
type StatusError struct {
	URL    string
	Status int
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Status >= 300 && e.Status < 400 {
		return fmt.Sprintf("%s redirects (status %d), which is not followed: use the URL that it leads to", e.URL, e.Status)
	}
	return fmt.Sprintf("%s answers with status %d", e.URL, e.Status)
}

// Get fetches a document (RG-05).
func (c *Client) Get(ctx context.Context, address string) (Answer, error) {
	return c.send(ctx, http.MethodGet, address, "", func(*http.Request) {})
}

// PostForm sends a form with the name and the secret of a client, as RFC 6749 encodes them for
// section 2.3.1, and returns the answer.
func (c *Client) PostForm(ctx context.Context, address string, form url.Values, name, secret string) (Answer, error) {
	return c.send(ctx, http.MethodPost, address, form.Encode(), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(name), url.QueryEscape(secret))
	})
}

func (c *Client) send(ctx context.Context, method, address, body string, prepare func(*http.Request)) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("%s does not answer within %s", address, humanize.Duration(c.timeout)))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "muster")
	prepare(r)
	response, err := c.http.Do(r)
	if err != nil {
		return Answer{}, explain(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Answer{}, &StatusError{address, response.StatusCode}
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, MaxBytes+1))
	if err != nil {
		return Answer{}, explain(ctx, err)
	}
	if len(text) > MaxBytes {
		return Answer{}, fmt.Errorf("%s answers with more than %s", address, humanize.Bytes(MaxBytes))
	}
	return Answer{text, life(response.Header)}, nil
}

// explain returns the cause of an error: the timeout, if that has ended the request.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// life returns the time for which an answer with these headers may be kept (RFC 9111).
func life(h http.Header) time.Duration {
	stated, age := DefaultLife, time.Duration(0)
	if n, err := strconv.ParseUint(strings.TrimSpace(h.Get("Age")), 10, 31); err == nil {
		age = time.Duration(n) * time.Second
	}
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 63)
			if err != nil {
				return 0 // as RFC 9111 recommends for a value that is not valid
			}
			stated = time.Duration(min(n, uint64(MaxLife/time.Second))) * time.Second
		}
	}
	return max(0, stated-age)
}
