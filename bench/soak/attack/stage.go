package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"muster/bench/soak"
	"muster/internal/testkit"

	"golang.org/x/time/rate"
)

// setup is what a scenario needs of the server.
type setup struct {
	tls         bool     // for HTTP/2
	proxy       bool     // a proxy is in front
	descriptors int      // RLIMIT_NOFILE; 0 for that of this process
	serve       []string // more options of muster serve
}

// and returns the setup that two scenarios need together.
func (s setup) and(t setup) setup {
	return setup{s.tls || t.tls, s.proxy || t.proxy, max(s.descriptors, t.descriptors), slices.Concat(s.serve, t.serve)}
}

// The clients. Attacker n is 127.0.1.n, in all scenarios that run together: an address that
// attacks in many ways is still one client.
const (
	honestAddress = "127.0.0.2"
	proxyAddress  = "127.0.0.3" // of the proxy in front of the server
	honestClient  = "198.51.100.7"
)

// opensPerSecond is how many connections all attackers open in a second.
const opensPerSecond = 1000

// ratePerClient is the option --rate: the default for a server that other machines reach.
const ratePerClient = 100

// stage is a served directory with its clients.
type stage struct {
	setup
	env         *soak.Env
	source      string // the NDJSON of the directory
	server      *testkit.Server
	address     string
	base        string      // URL of the FHIR endpoint
	secure      *tls.Config // of clients; nil for plain HTTP
	certificate []byte      // of the server, in DER; nil for plain HTTP
	options     options
	opening     *rate.Limiter // of connections of attackers

	throughProxy bool // the honest client connects through the proxy

	diskBefore int64 // size of the data directory at the start, in bytes

	exporting sync.Mutex // protects wholeFile
	wholeFile string     // URL of the largest file of an export of everything

	mu     sync.Mutex
	events map[string]int // what the server did to the attackers
	memory []string       // what a scenario remembers until its verification
	broken []string       // promises of scenarios
}

// newStageAt returns a stage without a server of its own.
func newStageAt(address string, o options) *stage {
	return &stage{address: address, base: "http://" + address + "/fhir", options: o, opening: rate.NewLimiter(opensPerSecond, opensPerSecond/10), events: map[string]int{}}
}

// newStage starts a server as the scenarios need it and waits until it is ready.
func newStage(ctx context.Context, env *soak.Env, source string, scenarios []scenario, o options) (*stage, error) {
	s := newStageAt(env.Address[0], o)
	s.env, s.source = env, source
	for _, one := range scenarios {
		s.setup = s.and(one.setup)
		s.throughProxy = one.viaProxy && len(scenarios) == 1
	}
	// Each line of the normal log repeats a line of the audit log.
	args := []string{"--log-level", "warn", "--poll-limit", "enforce", "--rate", fmt.Sprint(ratePerClient)}
	if s.tls {
		cert, key, err := s.makeCertificate()
		if err != nil {
			return nil, err
		}
		s.base = "https://" + s.address + "/fhir"
		args = append(args, "--tls-cert", cert, "--tls-key", key, "--base-url", s.base)
	}
	if s.proxy {
		// By default every client of this machine would be a proxy.
		args = append(args, "--behind-proxy", "--trusted-proxy", proxyAddress, "--drain-delay", "0s")
	}
	if s.descriptors > 0 {
		if err := s.limitDescriptors(); err != nil {
			return nil, err
		}
	}
	var err error
	if s.server, err = env.StartServer(0, "", slices.Concat(args, s.serve, o.serve)...); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// limitDescriptors makes the environment run a program that lowers the number of
// descriptors and then becomes muster.
func (s *stage) limitDescriptors() error {
	path := filepath.Join(s.env.Dir, "limited")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", s.descriptors, s.env.Program)
	s.env.Program = testkit.Program(path)
	return os.WriteFile(path, []byte(script), 0o700)
}

// makeCertificate makes a certificate for the server, and clients trust it.
func (s *stage) makeCertificate() (certFile, keyFile string, err error) {
	host, _, err := net.SplitHostPort(s.address)
	if err != nil {
		return "", "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(host)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", "", err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	s.certificate = cert
	if s.secure, err = trusting(cert, host); err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(s.env.Dir, "cert.pem"), filepath.Join(s.env.Dir, "key.pem")
	return certFile, keyFile, errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

// ready waits until the server is ready.
func (s *stage) ready(ctx context.Context) error {
	client := s.client(honestAddress, false)
	for deadline := time.Now().Add(testkit.Patience); time.Now().Before(deadline); {
		if response, err := client.Get(s.root() + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.server.Exited():
			return fmt.Errorf("the server exited:\n%s", s.server.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready:\n%s", s.server.Log())
}

// root returns the URL of the server, without a path.
func (s *stage) root() string { return strings.TrimSuffix(s.base, "/fhir") }

// stop ends the server.
func (s *stage) stop() {
	if err := s.server.Terminate(); err != nil {
		s.server.Kill()
	}
}

// count counts an event.
func (s *stage) count(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[event]++
}

// remember keeps a text for the verification.
func (s *stage) remember(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory = append(s.memory, text)
}

// remembered returns the texts that were kept.
func (s *stage) remembered() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.memory)
}

// maxBroken is how many broken promises are kept; the first ones are sufficient.
const maxBroken = 20

// breach records a broken promise, once for each text.
func (s *stage) breach(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := fmt.Sprintf(format, args...); len(s.broken) < maxBroken && !slices.Contains(s.broken, text) {
		s.broken = append(s.broken, text)
	}
}

// run runs the honest client and the attackers for the duration of the run. The attackers
// continue until the last requests of the honest client are answered.
func (s *stage) run(ctx context.Context, f fight, o options) (*report, error) {
	h, err := newHonest(s)
	if err != nil {
		return nil, err
	}
	for _, one := range f.scenarios {
		if one.prepare != nil {
			one.prepare(ctx, s)
		}
	}
	samples := s.sample()
	end, err := s.attack(ctx, f.scenarios)
	if err != nil {
		return nil, err
	}
	honest, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	h.run(honest)
	if err := end(); err != nil {
		return nil, err
	}
	for _, one := range f.scenarios {
		if one.verify != nil {
			one.verify(ctx, s)
		}
	}
	select {
	case <-s.server.Exited():
		s.breach("the server exited: %s", tail(s.server.Log()))
	default:
	}
	r := &report{fight: f, options: o, honest: h, usage: samples(), events: maps.Clone(s.events)}
	r.judge(s.broken)
	return r, ctx.Err()
}

// attack starts the attackers of scenarios, most of them in a process of their own.
func (s *stage) attack(ctx context.Context, scenarios []scenario) (end func() error, err error) {
	ctx, stop := context.WithCancel(ctx)
	var here sync.WaitGroup
	var remote []scenario
	for _, one := range scenarios {
		if one.loads {
			s.begin(ctx, &here, one)
		} else {
			remote = append(remote, one)
		}
	}
	attackers, err := s.startCrew(remote)
	if err != nil {
		stop()
		here.Wait()
		return nil, err
	}
	return func() error {
		err := attackers.end(s)
		stop()
		here.Wait()
		return err
	}, nil
}

// begin starts the attackers of a scenario.
func (s *stage) begin(ctx context.Context, running *sync.WaitGroup, one scenario) {
	n := s.options.attackers
	if one.single {
		n = 1
	}
	for i := range n {
		from := fmt.Sprintf("127.0.1.%d", i+1)
		a := &attacker{stage: s, n: i, of: n, name: one.name, from: from}
		if one.viaProxy {
			a.from = proxyAddress
		}
		a.client = s.client(a.from, false)
		running.Go(func() { one.attack(ctx, a) })
	}
}

// client returns an HTTP client with an address. A fresh client opens a connection for
// each request.
func (s *stage) client(from string, fresh bool) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext:     s.dialer(from).DialContext,
		TLSClientConfig: s.secure.Clone(), ForceAttemptHTTP2: !fresh, DisableKeepAlives: fresh,
		MaxIdleConnsPerHost: 64, DisableCompression: true,
	}}
}

func (s *stage) dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
}

// The protocols of TLS connections.
const (
	http1 = "http/1.1"
	http2 = "h2"
	noTLS = "" // not even a handshake
)

// dial opens a connection that reads little ahead if it is slow.
func (s *stage) dial(ctx context.Context, from, protocol string, slow bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := s.dialer(from).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok && slow {
		_ = tcp.SetReadBuffer(4 << 10) // without it, the attack is only weaker
	}
	if s.secure == nil || protocol == noTLS {
		return c, nil
	}
	config := s.secure.Clone()
	config.NextProtos = []string{protocol}
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return secure, nil
}

// attacker is one attacking client.
type attacker struct {
	*stage
	name   string // of the scenario
	n, of  int    // this one, and all of the scenario
	from   string // its address
	client *http.Client
}

// share returns this attacker's share of what all attackers of a run of full size do.
func (a *attacker) share(total int) int {
	total = int(math.Ceil(float64(total) * a.options.size))
	return (total + a.of - 1 - a.n) / a.of
}

// pace limits what this attacker does to its share of a number per second. No step is
// greater than most.
func (a *attacker) pace(perSecond, most int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(max(1, a.share(perSecond))), most)
}

// count counts an event of the scenario.
func (a *attacker) count(event string) { a.stage.count(a.name + " " + event) }

// answer is the answer to a request.
type answer struct {
	status int // 0 without an answer
	header http.Header
	body   []byte
}

// send sends a request and counts its status.
func (a *attacker) send(ctx context.Context, method, url, body string, header ...string) answer {
	got := request(ctx, a.client, method, url, body, header...)
	if ctx.Err() == nil {
		a.count(got.text())
	}
	return got
}

func (a answer) text() string {
	if a.status == 0 {
		return "no answer"
	}
	return fmt.Sprint(a.status)
}

// request sends a request. header has names and values in turn.
func request(ctx context.Context, client *http.Client, method, url, body string, header ...string) (got answer) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return got
	}
	for n := 0; n+1 < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	response, err := client.Do(req)
	if err != nil {
		return got
	}
	defer response.Body.Close()
	if got.body, err = io.ReadAll(response.Body); err != nil {
		return answer{}
	}
	got.status, got.header = response.StatusCode, response.Header
	return got
}

// pause waits, and reports whether ctx still runs.
func pause(ctx context.Context, for_ time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(for_):
		return true
	}
}

// parallel runs n loops until ctx ends. each is called again and again.
func parallel(ctx context.Context, n int, each func(n int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			for ctx.Err() == nil {
				each(i)
			}
		})
	}
	running.Wait()
}
