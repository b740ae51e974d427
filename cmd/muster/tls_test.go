package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
)

// writeCertificate creates a certificate for localhost and writes its two files.
func writeCertificate(t *testing.T, dir string, serial int64) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(path, kind string, der []byte) {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, "CERTIFICATE", der)
	write(key, "PRIVATE KEY", keyDER)
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	return cert, key, pool
}

// TestServeWithTLS starts a server with a certificate and connects with each TLS version.
func TestServeWithTLS(t *testing.T) {
	t.Attr("requirements", "SE-01")
	dir := t.TempDir()
	cert, key, pool := writeCertificate(t, dir, 1)
	resources := filepath.Join(dir, "one.ndjson")
	if err := os.WriteFile(resources, []byte(`{"resourceType":"Organization","id":"a","name":"A"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log testkit.Log
	a := app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: io.Discard, stderr: &log}
	if code := run(a, []string{"load", "--data", filepath.Join(dir, "data"), resources}); code != exitOK {
		t.Fatalf("load: %d\n%s", code, log.String())
	}
	c, err := (&demoCmd{}).server(filepath.Join(dir, "data"), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	c.BaseURL, c.TLSCert, c.TLSKey, c.MetricsListen = "https://localhost:8443/fhir", cert, key, "localhost:0"
	i, err := c.start(a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	address := i.listener.Addr().String()
	for _, v := range []struct {
		version uint16
		works   bool
	}{{tls.VersionTLS10, false}, {tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, MinVersion: v.version, MaxVersion: v.version, ServerName: "localhost"})
		if (err == nil) != v.works {
			t.Errorf("%s: error %v, want success %t", tls.VersionName(v.version), err, v.works)
		}
		if err == nil {
			if got := conn.ConnectionState().Version; got != v.version {
				t.Errorf("requested %s, got %s", tls.VersionName(v.version), tls.VersionName(got))
			}
			_ = conn.Close()
		}
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12, ServerName: "localhost",
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}); err == nil {
		t.Error("the server accepts a cipher suite without authenticated encryption")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("https://" + address + "/fhir/metadata")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != 200 || response.ProtoMajor != 2 || response.TLS.Version != tls.VersionTLS13 || !strings.Contains(string(body), "https://localhost:8443/fhir") {
		t.Errorf("%s %s over %s: %.200s", response.Status, response.Proto, tls.VersionName(response.TLS.Version), body)
	}
	scrape, err := http.Get("http://" + i.metricsListener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(scrape.Body)
	_ = scrape.Body.Close()
	if !strings.Contains(string(body), `muster_http_request_seconds_count{method="GET",route="/fhir/metadata",status="200"} 1`) || !strings.Contains(string(body), `muster_jobs{state="writing"} 0`) {
		t.Errorf("the metrics are\n%s", body)
	}
	if events, err := os.ReadFile(filepath.Join(dir, "data", "audit.log")); err != nil || !strings.Contains(string(events), `"interaction":"capabilities"`) {
		t.Errorf("the audit log: %v %s", err, events)
	}
}

// TestCertificateIsRenewed replaces the files as a renewal does, one after the other.
func TestCertificateIsRenewed(t *testing.T) {
	t.Attr("requirements", "SE-01")
	dir, other := t.TempDir(), t.TempDir()
	cert, key, _ := writeCertificate(t, dir, 1)
	newCert, newKey, _ := writeCertificate(t, other, 2)
	var log testkit.Log
	c, err := loadCertificate(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c.mu.Lock()
		c.checked = time.Time{} // as if the interval had passed
		c.mu.Unlock()
		return c.get().Leaf.SerialNumber.Int64()
	}
	if serial() != 1 {
		t.Error("not the first certificate")
	}
	move(t, newCert, cert)
	if got := serial(); got != 1 {
		t.Errorf("serial %d with a key that does not match, want the old one", got)
	}
	if !strings.Contains(log.String(), "the previous certificate remains in use") {
		t.Errorf("the log has no error:\n%s", log.String())
	}
	move(t, newKey, key)
	if got := serial(); got != 2 {
		t.Errorf("serial %d after the renewal, want 2", got)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	c.reload()
	if got := serial(); got != 2 {
		t.Errorf("serial %d without files, want the last", got)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute) // differs also on file systems with coarse times
	if err := os.Chtimes(to, later, later); err != nil {
		t.Fatal(err)
	}
}
