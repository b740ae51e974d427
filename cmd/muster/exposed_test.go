package main

import "testing"

// TestExposed checks that a server counts as exposed behind a proxy and on addresses
// other than loopback ones.
func TestExposed(t *testing.T) {
	for _, c := range []struct {
		listen string
		proxy  bool
		want   bool
	}{
		{"localhost:8080", false, false},
		{"127.0.0.1:8080", false, false},
		{"127.3.2.1:8080", false, false},
		{"[::1]:8080", false, false},
		{"localhost:8080", true, true},
		{"[::1]:8080", true, true},
		{"0.0.0.0:8080", false, true},
		{":8080", false, true},
		{"[::]:8080", false, true},
		{"192.0.2.7:8080", false, true},
		{"directory.example.org:8080", false, true},
		{"localhost", false, true}, // not an address
	} {
		if got := (&serveCmd{Listen: c.listen, BehindProxy: c.proxy}).exposed(); got != c.want {
			t.Errorf("--listen %s, --behind-proxy %v: exposed %v, want %v", c.listen, c.proxy, got, c.want)
		}
	}
}
