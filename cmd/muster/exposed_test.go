package main

import "testing"

// TestExposed: others reach a server through a proxy, or by an address that is not this
// machine's own.
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
		{"localhost", false, true}, // no address at all
	} {
		if got := (&serveCmd{Listen: c.listen, BehindProxy: c.proxy}).exposed(); got != c.want {
			t.Errorf("--listen %s, --behind-proxy %v: exposed %v, want %v", c.listen, c.proxy, got, c.want)
		}
	}
}
