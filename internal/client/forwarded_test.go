package client_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"muster/internal/client"
)

// trusts returns whether an address is in one of the networks.
func trusts(networks ...string) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		for _, n := range networks {
			if netip.MustParsePrefix(n).Contains(a) {
				return true
			}
		}
		return false
	}
}

// TestForwarded checks which entry counts, in each form that proxies write.
func TestForwarded(t *testing.T) {
	const spoofed = "198.51.100.1, "
	tests := []struct {
		lines   []string
		trusted []string
		want    string // empty for no address, "error" for ErrForwarded
	}{
		{lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		{lines: []string{spoofed + "203.0.113.9"}, want: "203.0.113.9"},
		{lines: []string{spoofed + "203.0.113.9:1000"}, want: "203.0.113.9"},
		{lines: []string{spoofed + " 203.0.113.9 \t"}, want: "203.0.113.9"},
		{lines: []string{spoofed + `"203.0.113.9:1000"`}, want: "203.0.113.9"},
		{lines: []string{spoofed + "2001:db8::1"}, want: "2001:db8::1"},
		{lines: []string{spoofed + "2001:DB8::0:1"}, want: "2001:db8::1"},
		{lines: []string{spoofed + "[2001:db8::1]"}, want: "2001:db8::1"},
		{lines: []string{spoofed + "[2001:db8::1]:443"}, want: "2001:db8::1"},
		{lines: []string{spoofed + `"[2001:db8::1]:443"`}, want: "2001:db8::1"},
		{lines: []string{spoofed + "fe80::1%eth0"}, want: "fe80::1"},
		{lines: []string{spoofed + "::ffff:203.0.113.9"}, want: "203.0.113.9"},
		{lines: []string{spoofed + "[::ffff:203.0.113.9]:1000"}, want: "203.0.113.9"},
		{lines: []string{"198.51.100.1", "203.0.113.9"}, want: "203.0.113.9"},
		{lines: []string{"", "203.0.113.9"}, want: "203.0.113.9"},
		{lines: nil},
		{lines: []string{""}},
		{lines: []string{" , ", ""}},

		{lines: []string{spoofed + "unknown"}, want: "error"},
		{lines: []string{spoofed + "unix:"}, want: "error"},
		{lines: []string{spoofed + "_hidden"}, want: "error"},
		{lines: []string{spoofed}, want: "error"},
		{lines: []string{spoofed, ""}, want: "error"},
		{lines: []string{spoofed + "203.0.113.9:port"}, want: "error"},
		{lines: []string{spoofed + "203.0.113.9:99999"}, want: "error"},
		{lines: []string{spoofed + "[203.0.113.9]"}, want: "error"},
		{lines: []string{spoofed + "203.0.113.256"}, want: "error"},
		{lines: []string{spoofed + "203.0.113.009"}, want: "error"},
		{lines: []string{spoofed + `"203.0.113.9`}, want: "error"},
		{lines: []string{spoofed + "[2001:db8::1"}, want: "error"},
		{lines: []string{spoofed + "203.0.113.9;198.51.100.2"}, want: "error"},

		{lines: []string{spoofed + "203.0.113.9, 10.0.0.1:99, 10.0.0.2"}, trusted: []string{"10.0.0.0/8"}, want: "203.0.113.9"},
		{lines: []string{spoofed + "203.0.113.9", "[2001:db8:f::1]"}, trusted: []string{"10.0.0.0/8", "2001:db8:f::/48"}, want: "203.0.113.9"},
		{lines: []string{spoofed + "203.0.113.9, ::ffff:10.0.0.1"}, trusted: []string{"10.0.0.0/8"}, want: "203.0.113.9"},
		{lines: []string{"nonsense, 203.0.113.9, 10.0.0.1"}, trusted: []string{"10.0.0.0/8"}, want: "203.0.113.9"},
		{lines: []string{"203.0.113.9, nonsense, 10.0.0.1"}, trusted: []string{"10.0.0.0/8"}, want: "error"},
		{lines: []string{"10.0.0.3, 10.0.0.1"}, trusted: []string{"10.0.0.0/8"}, want: "10.0.0.3"},
	}
	for _, test := range tests {
		got, err := client.Forwarded(test.lines, trusts(test.trusted...))
		text := got.String()
		switch {
		case errors.Is(err, client.ErrForwarded):
			text = "error"
		case err != nil:
			t.Errorf("%q: %v", test.lines, err)
		case !got.IsValid():
			text = ""
		}
		if text != test.want {
			t.Errorf("Forwarded(%q) trusting %q = %q, want %q", test.lines, test.trusted, text, test.want)
		}
	}
}

// FuzzForwarded checks that what a client writes before the entry of the proxy never counts.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", "198.51.100.1", "198.51.100.1,", `"`, "[", "10.0.0.1:99", "[2001:db8::1]:443", "unknown", ",,", "\t"} {
		f.Add(seed)
	}
	want := netip.MustParseAddr("203.0.113.9")
	trusted := trusts("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, written string) {
		for _, appended := range []string{"203.0.113.9", "203.0.113.9:7", "203.0.113.9, 10.0.0.1"} {
			for _, lines := range [][]string{{written + ", " + appended}, {written, appended}} {
				if got, err := client.Forwarded(lines, trusted); err != nil || got != want {
					t.Errorf("%q: %v, %v", lines, got, err)
				}
			}
		}
		got, err := client.Forwarded([]string{written}, trusted)
		if err == nil && got.IsValid() && strings.Trim(written, ", \t") == "" {
			t.Errorf("%q: %v", written, got)
		}
		if err == nil && got.IsValid() && (got.Is4In6() || got.Zone() != "") {
			t.Errorf("%q: %v is not in its only form", written, got)
		}
	})
}
