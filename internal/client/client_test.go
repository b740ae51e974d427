package client_test

import (
	"net/netip"
	"slices"
	"testing"

	"muster/internal/auth"
	"muster/internal/client"
)

// TestOf checks which addresses and principals count together.
func TestOf(t *testing.T) {
	known := auth.Principal{ID: "registry"}
	tests := []struct {
		principal auth.Principal
		address   string // empty for an address that is not valid
		want      client.Client
	}{
		{auth.Anonymous, "192.0.2.1", client.Client{Name: "address 192.0.2.1"}},
		{auth.Anonymous, "::ffff:192.0.2.1", client.Client{Name: "address 192.0.2.1"}},
		{auth.Anonymous, "2001:db8:1:2:3:4:5:6", client.Client{Name: "network 2001:db8:1:2::/64", Wider: "network 2001:db8:1::/48"}},
		{auth.Anonymous, "2001:db8:1:2::9", client.Client{Name: "network 2001:db8:1:2::/64", Wider: "network 2001:db8:1::/48"}},
		{auth.Anonymous, "fe80::1%eth0", client.Client{Name: "network fe80::/64", Wider: "network fe80::/48"}},
		{auth.Anonymous, "", client.Client{Name: "address invalid IP"}},
		{known, "192.0.2.1", client.Client{Name: "principal registry"}},
		{known, "2001:db8::1", client.Client{Name: "principal registry"}},
	}
	for _, test := range tests {
		address, _ := netip.ParseAddr(test.address)
		if got := client.Of(test.principal, address); got != test.want {
			t.Errorf("Of(%q, %q) = %+v, want %+v", test.principal.ID, test.address, got, test.want)
		}
	}
}

// TestAllowances checks that only IPv6 has a second allowance, and that the program itself has no
// limits.
func TestAllowances(t *testing.T) {
	tests := []struct {
		client client.Client
		want   []client.Allowance
	}{
		{client.Client{}, nil},
		{client.From(t.Context()), nil},
		{client.From(client.With(t.Context(), client.Client{Name: "a"})), []client.Allowance{{Name: "a", Factor: 1}}},
		{client.Client{Name: "a", Wider: "b"}, []client.Allowance{{Name: "a", Factor: 1}, {Name: "b", Factor: client.WiderFactor}}},
	}
	for _, test := range tests {
		if got := test.client.Allowances(); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v, want %v", test.client, got, test.want)
		}
	}
}
