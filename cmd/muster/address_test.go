package main

import (
	"net"
	"strings"
	"testing"
)

// TestPublicURL checks which base URL a server has: the one of the command line, the stored
// one, or that of its listener.
func TestPublicURL(t *testing.T) {
	for _, c := range []struct {
		name   string
		serve  serveCmd
		stored string
		port   int // that the listener has
		want   string
		wrong  string // the error, if there must be one
	}{
		{name: "name", serve: serveCmd{Listen: "localhost:8080"}, port: 8080, want: "http://localhost:8080/fhir"},
		{name: "address", serve: serveCmd{Listen: "127.0.0.1:18105"}, port: 18105, want: "http://127.0.0.1:18105/fhir"},
		{name: "IPv6", serve: serveCmd{Listen: "[::1]:8080"}, port: 8080, want: "http://[::1]:8080/fhir"},
		{name: "free port", serve: serveCmd{Listen: "localhost:0"}, port: 40123, want: "http://localhost:40123/fhir"},
		{name: "port by name", serve: serveCmd{Listen: "localhost:http-alt"}, port: 8080, want: "http://localhost:8080/fhir"},
		{name: "TLS", serve: serveCmd{Listen: "localhost:8443", tlsFlags: tlsFlags{TLSCert: "c"}}, port: 8443, want: "https://localhost:8443/fhir"},
		{name: "another machine", serve: serveCmd{Listen: "directory.example.org:8443", tlsFlags: tlsFlags{TLSCert: "c"}}, port: 8443, want: "https://directory.example.org:8443/fhir"},
		{name: "stored", serve: serveCmd{Listen: "127.0.0.1:18105"}, stored: "https://stored.example.org/fhir", port: 18105, want: "https://stored.example.org/fhir"},
		{name: "given", serve: serveCmd{Listen: "127.0.0.1:18105", BaseURL: "https://given.example.org/fhir"}, port: 18105, want: "https://given.example.org/fhir"},

		{name: "all addresses", serve: serveCmd{Listen: "0.0.0.0:8080"}, port: 8080, wrong: "set --base-url to the public URL"},
		{name: "all addresses of IPv6", serve: serveCmd{Listen: "[::]:8080"}, port: 8080, wrong: "set --base-url to the public URL"},
		{name: "no host", serve: serveCmd{Listen: ":8080"}, port: 8080, wrong: "or name one address in --listen"},
		{name: "behind a proxy", serve: serveCmd{Listen: "localhost:8080", BehindProxy: true}, port: 8080, wrong: "set --base-url to the public URL"},
		{name: "stored, loopback", serve: serveCmd{Listen: "0.0.0.0:8080"}, stored: "http://localhost:8080/fhir", port: 8080, wrong: "set --base-url to the public URL"},
		{name: "stored, without TLS", serve: serveCmd{Listen: "localhost:8443", tlsFlags: tlsFlags{TLSCert: "c"}}, stored: "http://x.example/fhir", port: 8443, wrong: "begins with https"},
	} {
		got, err := c.serve.publicURL(c.stored, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.port})
		if err == nil && (got != c.want || c.wrong != "") || err != nil && (c.wrong == "" || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %q, %v; want %q, %s", c.name, got, err, c.want, c.wrong)
		}
	}
}
