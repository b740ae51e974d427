package main

import (
	"fmt"
	"net/netip"
)

// proxyNetwork is an option that names the network or the address of proxies.
type proxyNetwork struct{ netip.Prefix }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *proxyNetwork) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		address, err := netip.ParseAddr(string(text))
		if err != nil {
			return fmt.Errorf("%s: write a network such as 10.0.0.0/24, or an address", text)
		}
		address = address.Unmap().WithZone("")
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	if prefix.Bits() == 0 {
		return fmt.Errorf("%s: every client could write its own address then: name the proxies only", text)
	}
	n.Prefix = prefix.Masked()
	return nil
}

// trustedProxies returns the networks of the proxies.
func (c *serveCmd) trustedProxies() []netip.Prefix {
	var all []netip.Prefix
	for _, n := range c.TrustedProxy {
		all = append(all, n.Prefix)
	}
	return all
}
