package fetch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestBadServers: each answer of a bad server ends within the timeout, with at most the memory of
// the largest answer, and with an error that says what is wrong.
func TestBadServers(t *testing.T) {
	t.Attr("requirements", "RG-05 RG-08")
	var followed atomic.Bool
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500":
			http.Error(w, "a secret of the server", http.StatusInternalServerError)
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/ok":
			followed.Store(true)
		case "/huge":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "/silent":
			<-release
		case "/slow":
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		case "/headers":
			for range 100 {
				w.Header().Add("X-Large", strings.Repeat("x", 1000))
			}
		case "/closed":
			hijacked, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = hijacked.Close()
			}
		}
	}))
	defer server.Close()
	defer close(release)
	c := New(Options{Timeout: 300 * time.Millisecond})
	defer c.Close()
	for path, want := range map[string]string{
		"/500":      "answers with status 500",
		"/redirect": "redirects (status 302), which is not followed: use the URL that it leads to",
		"/huge":     "answers with more than 1MiB",
		"/silent":   "does not answer within 300ms",
		"/slow":     "does not answer within 300ms",
		"/headers":  "headers exceeded",
		"/closed":   "EOF",
	} {
		start := time.Now()
		_, err := c.Get(t.Context(), server.URL+path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), server.URL+path) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: after %s", path, took)
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

// TestRequest: a document is fetched with GET and Accept, without credentials; a form has those of
// the client.
func TestRequest(t *testing.T) {
	t.Attr("requirements", "RG-05")
	var got http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		got = *r
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	c := New(Options{})
	defer c.Close()
	a, err := c.Get(t.Context(), server.URL)
	if err != nil || string(a.Body) != "{}" || got.Method != "GET" || got.Header.Get("Accept") != "application/json" || got.Header.Get("Authorization") != "" {
		t.Errorf("%+v, %v, %s %v", a, err, got.Method, got.Header)
	}
	_, err = c.PostForm(t.Context(), server.URL, url.Values{"token": {"a&b"}}, "a:b", "c d")
	name, secret, _ := got.BasicAuth()
	if err != nil || got.PostFormValue("token") != "a&b" || name != "a%3Ab" || secret != "c+d" {
		t.Errorf("%v, %v, %s %s", err, got.PostForm, name, secret)
	}
}

// TestTLS: old versions, certificates of unknown authorities and expired ones are refused.
func TestTLS(t *testing.T) {
	t.Attr("requirements", "RG-05")
	serve := func(change func(*tls.Config)) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
		s.Config.ErrorLog = nil
		s.TLS = &tls.Config{}
		change(s.TLS)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	good := serve(func(*tls.Config) {})
	expired, roots := expiredCertificate(t)
	roots.AddCert(good.Certificate())
	c := New(Options{Roots: roots})
	defer c.Close()
	if _, err := c.Get(t.Context(), good.URL); err != nil {
		t.Error(err)
	}
	stranger := New(Options{})
	defer stranger.Close()
	if _, err := stranger.Get(t.Context(), good.URL); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("unknown authority: %v", err)
	}
	old := serve(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 })
	if _, err := c.Get(t.Context(), old.URL); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("TLS 1.1: %v", err)
	}
	past := serve(func(c *tls.Config) { c.Certificates = []tls.Certificate{expired} })
	if _, err := c.Get(t.Context(), past.URL); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired certificate: %v", err)
	}
}

// expiredCertificate returns a certificate that has expired, and a pool that trusts it.
func expiredCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// TestGuard: a guarded client connects to no address that is not public, whatever its name, except
// in the networks that are allowed.
func TestGuard(t *testing.T) {
	t.Attr("requirements", "RG-08")
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", server.URL)
	guarded := New(Options{Guarded: true, Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	defer guarded.Close()
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		if _, err := guarded.Get(t.Context(), "http://"+host+":"+port); err == nil || !strings.Contains(err.Error(), "is not public") || asked {
			t.Errorf("%s: %v", host, err)
		}
	}
	allowed := New(Options{Guarded: true, Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer allowed.Close()
	if _, err := allowed.Get(t.Context(), server.URL); err != nil || !asked {
		t.Errorf("an allowed network: %v", err)
	}
}

// TestIsPublic: addresses that are not public.
func TestIsPublic(t *testing.T) {
	t.Attr("requirements", "RG-08")
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2400::1", "::ffff:8.8.8.8"} {
		if !IsPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
	for _, a := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.2.1", "198.18.0.1",
		"224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12::1", "ff02::1",
		"64:ff9b::a00:1", "64:ff9b:1::1", "2001:db8::1", "2001::1", "2002:a00:1::", "100::1", "3fff::1",
	} {
		if IsPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is not public", a)
		}
	}
	if IsPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// TestLife: for how long an answer may be kept.
func TestLife(t *testing.T) {
	t.Attr("requirements", "RG-06")
	for header, want := range map[string]time.Duration{
		"":                             DefaultLife,
		"public":                       DefaultLife,
		"max-age=60":                   time.Minute,
		`Public, Max-Age="60"`:         time.Minute,
		"max-age=0":                    0,
		"no-store":                     0,
		"max-age=60, no-store":         0,
		"no-cache":                     0,
		"max-age=x":                    0,
		"max-age=-1":                   0,
		"max-age=31536000":             MaxLife,
		"max-age=9223372036854775807":  MaxLife,
		"max-age=92233720368547758070": 0,
	} {
		if got := life(http.Header{"Cache-Control": {header}}); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	if got := life(http.Header{"Cache-Control": {"public", "max-age=60"}, "Age": {"50"}}); got != 10*time.Second {
		t.Errorf("with an age: %s", got)
	}
	if got := life(http.Header{"Cache-Control": {"max-age=60"}, "Age": {"70"}}); got != 0 {
		t.Errorf("with a greater age: %s", got)
	}
}

// TestCheckURL: which URLs an operator or a client may name.
func TestCheckURL(t *testing.T) {
	t.Attr("requirements", "RG-05")
	for _, u := range []string{"https://issuer.example.org", "https://issuer.example.org:8443/realms/a/keys", "http://localhost:8080/x", "http://127.0.0.1", "http://[::1]:80"} {
		if err := CheckURL(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for u, want := range map[string]string{
		"":                           "write an absolute URL",
		"issuer.example.org":         "write an absolute URL",
		"https:///x":                 "write an absolute URL",
		"https:issuer.example.org":   "write an absolute URL",
		"https://a b":                "write an absolute URL",
		"http://issuer.example.org":  "use https: only on this machine",
		"http://localhost.evil.test": "use https: only on this machine",
		"http://10.0.0.1":            "use https: only on this machine",
		"ftp://issuer.example.org":   "use https",
		"file://host/etc/passwd":     "use https",
		"https://u:p@issuer.test":    "leave out the user",
		"https://issuer.test/?a=b":   "leave out the query",
		"https://issuer.test/#":      "leave out the query",
	} {
		if err := CheckURL(u); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", u, err, want)
		}
	}
}
