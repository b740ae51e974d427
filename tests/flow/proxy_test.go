package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/testkit"

	"golang.org/x/sync/errgroup"
)

// TestStopsLoseNoRequest stops a server six times while four clients use it through a proxy.
// The proxy keeps connections open and sends requests only while /readyz answers 200. Each
// request that it has sent is answered completely.
func TestStopsLoseNoRequest(t *testing.T) {
	const stops, clients, requestsBetween = 6, 4, 60
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, practitioners(t, 2000, "Kept"))
		start := func() server {
			return p.serve(t, "", "--behind-proxy", "--rate", "0", "--drain-delay", "500ms", "--part-bytes", "100000")
		}
		s := start()
		proxy := newProxy(t, p.address)
		g, ctx := errgroup.WithContext(t.Context())
		var stopped atomic.Bool
		for range clients {
			c := proxyClient{direct: s.Base, proxied: proxy.URL + "/fhir"}
			g.Go(func() error {
				for !stopped.Load() && ctx.Err() == nil {
					if err := c.export(ctx); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for range stops {
			for range requestsBetween {
				select {
				case <-proxy.answered:
				case <-ctx.Done():
					t.Fatal(g.Wait())
				}
			}
			if err := s.Terminate(); err != nil {
				t.Fatal(err)
			}
			s = start()
		}
		stopped.Store(true)
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		proxy.mu.Lock()
		defer proxy.mu.Unlock()
		for _, err := range proxy.lost {
			t.Error(err)
		}
	})
}

// proxy is a reverse proxy in front of one server.
type proxy struct {
	*httptest.Server
	reverse  *httputil.ReverseProxy
	answered chan struct{} // receives a value for an answer if a receiver waits

	mu    sync.Mutex
	ready chan struct{} // is closed while the server is ready
	lost  []error
}

func newProxy(t *testing.T, address string) *proxy {
	target := &url.URL{Scheme: "http", Host: address}
	p := &proxy{answered: make(chan struct{}), ready: make(chan struct{})}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: &sendOnce{proxy: p, transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.lose(fmt.Errorf("%s %s was sent and not answered: %w", r.Method, r.URL, err))
			w.WriteHeader(http.StatusBadGateway)
		},
		FlushInterval: -1,
	}
	p.Server = httptest.NewServer(p)
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(ctx, target.JoinPath("readyz").String()) })
	t.Cleanup(func() { p.Close(); stop(); watching.Wait() })
	return p
}

// watch reads /readyz every few milliseconds until ctx ends.
func (p *proxy) watch(ctx context.Context, readyz string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	isReady := false
	for {
		_, status, err := testkit.Fetch(ctx, readyz, nil)
		if now := err == nil && status == http.StatusOK; now != isReady {
			isReady = now
			p.mu.Lock()
			if isReady {
				close(p.ready)
			} else {
				p.ready = make(chan struct{})
			}
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *proxy) whenReady() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

func (p *proxy) lose(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = append(p.lost, err)
}

// ServeHTTP sends a request to the server when it is ready.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-p.whenReady():
	case <-r.Context().Done():
		return
	}
	p.reverse.ServeHTTP(w, r)
	select {
	case p.answered <- struct{}{}:
	default:
	}
}

// sendOnce is a transport that reports a request that was sent more than once. Package http
// sends some requests again if the connection is closed before the answer; proxies do not.
type sendOnce struct {
	proxy     *proxy
	transport *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (s *sendOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent atomic.Int32
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Add(1) }}
	resp, err := s.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if n := sent.Load(); n > 1 {
		s.proxy.lose(fmt.Errorf("%s %s was sent on %d connections", r.Method, r.URL, n))
	}
	return resp, err
}

// proxyClient is a client that replaces the base URL of the server in links by that of the
// proxy.
type proxyClient struct{ direct, proxied string }

// export searches, exports all practitioners, downloads the files and deletes the export.
func (c proxyClient) export(ctx context.Context) error {
	body, _, err := c.do(ctx, "GET", c.direct+"/Practitioner?family=Kept&_count=50", "", http.StatusOK)
	if err != nil {
		return err
	}
	if !json.Valid(body) {
		return errors.New("the answer to a search is not JSON")
	}
	_, started, err := c.do(ctx, "POST", c.direct+"/$export", everyPractitioner, http.StatusAccepted)
	if err != nil {
		return err
	}
	status := started.Header.Get("Content-Location")
	var m testkit.Manifest
	for len(m.Output) == 0 {
		body, resp, err := c.do(ctx, "GET", status, "", 0)
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK {
			if m, err = testkit.ReadManifest(body); err != nil {
				return err
			}
		}
	}
	lines := 0
	for _, o := range m.Output {
		body, _, err := c.do(ctx, "GET", o.URL, "", http.StatusOK)
		if err != nil {
			return err
		}
		lines += bytes.Count(body, []byte("\n"))
	}
	if lines != 2000 {
		return fmt.Errorf("the export has %d resources, want 2000", lines)
	}
	_, _, err = c.do(ctx, "DELETE", status, "", http.StatusAccepted)
	return err
}

// do sends a request and reads the whole answer. It returns an error unless the status is want;
// 0 means 200 or 202.
func (c proxyClient) do(ctx context.Context, method, at, body string, want int) ([]byte, *http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.Replace(at, c.direct, c.proxied, 1), strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/fhir+json")
		r.Header.Set("Prefer", "respond-async")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: the answer was cut: %w", method, at, err)
	}
	ok := resp.StatusCode == want || want == 0 && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted)
	if !ok {
		return nil, nil, fmt.Errorf("%s %s: %s: %s", method, at, resp.Status, answer)
	}
	return answer, resp, nil
}
