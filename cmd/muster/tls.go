package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"muster/internal/regularfile"
)

// tlsFlags are the options of TLS.
type tlsFlags struct {
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain in PEM. The server then uses TLS 1.2 or later. The file is read again when it changes, or on SIGHUP."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Private key of the certificate, in PEM."`
}

// Validate checks that both files are named, or neither.
func (f *tlsFlags) Validate() error {
	return bound("--tls-cert, --tls-key", (f.TLSCert == "") == (f.TLSKey == ""), "both or none")
}

// open reads the certificate. It returns nil without one.
func (f *tlsFlags) open(log *slog.Logger) (*certificate, error) {
	if f.TLSCert == "" {
		return nil, nil
	}
	return loadCertificate(f.TLSCert, f.TLSKey, log)
}

// certificate is the certificate of the server, from two PEM files. It is read again with
// the next connection after the files have changed, or on a signal; open connections are
// not affected. While the new files cannot be read, or do not match, the old certificate
// remains in use: a renewal replaces one file after the other.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   stamp     // of the files at the last attempt to read them
	checked time.Time // when the files were last checked
}

// stamp identifies a version of the two files.
type stamp struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

// checkInterval is the minimum time between two checks of the files.
const checkInterval = time.Second

// loadCertificate reads the two files.
func loadCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	now, err := c.readStamp()
	if err == nil {
		err = c.read(now)
	}
	if err != nil {
		return nil, fmt.Errorf("read the TLS certificate: %w: name a certificate chain and its key in PEM with --tls-cert and --tls-key", err)
	}
	return c, nil
}

// config returns the configuration of connections (SE-01): TLS 1.3 if the client supports
// it, otherwise 1.2 with forward secrecy and authenticated encryption. Without a certificate it
// returns nil.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
		CipherSuites: []uint16{ // for 1.2; all suites of 1.3 are accepted
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

// get returns the current certificate.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= checkInterval {
		c.renew(false)
	}
	return c.current
}

// expires returns the end of the current certificate.
func (c *certificate) expires() time.Time { return c.get().Leaf.NotAfter }

// reload reads the files even if they seem unchanged.
func (c *certificate) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew(true)
}

// renew reads the files if they have changed. The caller holds mu.
func (c *certificate) renew(always bool) {
	now, err := c.readStamp()
	if err == nil && now == c.stamp && !always {
		return
	}
	if err == nil {
		err = c.read(now)
	}
	if err != nil {
		c.log.Error("read the TLS certificate again: the previous certificate remains in use", "cert", c.cert, "key", c.key, "error", err)
		return
	}
	c.log.Info("reloaded the TLS certificate", "cert", c.cert, "expires", c.current.Leaf.NotAfter)
}

// readStamp returns the stamp of the files.
func (c *certificate) readStamp() (stamp, error) {
	c.checked = time.Now()
	cert, err := os.Stat(c.cert)
	if err != nil {
		return stamp{}, err
	}
	key, err := os.Stat(c.key)
	if err != nil {
		return stamp{}, err
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

func (c *certificate) read(now stamp) error {
	c.stamp = now
	chain, err := regularfile.ReadFile(c.cert)
	if err != nil {
		return err
	}
	key, err := regularfile.ReadFile(c.key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return err
	}
	c.current = &pair
	return nil
}

// reloadOnSignal reads the files on each SIGHUP until ctx ends.
func (c *certificate) reloadOnSignal(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			c.reload()
		}
	}
}
