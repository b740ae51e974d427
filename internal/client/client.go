// Package client says who the limits of the server count for.
//
// A client is a principal or, without authentication, an address. A client with IPv6 can choose
// the last 64 bits of its address, and often 16 more, so its addresses count together twice: as
// one client for each /64, and with a larger allowance for each /48. All limits use this package;
// the ownership of exports is a matter of principals alone (package auth).
package client

import (
	"context"
	"net/netip"

	"muster/internal/auth"
)

// Client is who a request counts for. The zero value is the program itself, which no limit
// applies to. Clients are equal if and only if they count together.
type Client struct {
	// Name identifies the client: "principal ID", "address 192.0.2.1" or "network
	// 2001:db8:1:2::/64". It is printable, and is never a token.
	Name string
	// Wider is the name of the network around an IPv6 client: "network 2001:db8:1::/48". It is
	// empty for other clients.
	Wider string
}

// WiderFactor is how many times the allowance of one client all clients of a /48 have together.
const WiderFactor = 4

// The lengths of the IPv6 prefixes that count together.
const (
	prefixBits      = 64
	widerPrefixBits = 48
)

// Of returns the client of a request by a principal from an address. The address counts only if
// the principal is not authenticated. All addresses that are not valid are one client.
func Of(p auth.Principal, from netip.Addr) Client {
	if p.Authenticated() {
		return Client{Name: "principal " + p.ID}
	}
	from = from.Unmap().WithZone("")
	if !from.Is6() {
		return Client{Name: "address " + from.String()}
	}
	return Client{Name: network(from, prefixBits), Wider: network(from, widerPrefixBits)}
}

// network returns the name of the network of the first bits of an IPv6 address.
func network(a netip.Addr, bits int) string {
	return "network " + netip.PrefixFrom(a, bits).Masked().String()
}

// Allowance is a name under which a client is counted, and how many times the limit of one client
// applies to it.
type Allowance struct {
	Name   string
	Factor int
}

// Allowances returns the names under which the client is counted. A limit is exceeded if it is
// for one of them. The zero Client has none.
func (c Client) Allowances() []Allowance {
	switch {
	case c.Name == "":
		return nil
	case c.Wider == "":
		return []Allowance{{c.Name, 1}}
	}
	return []Allowance{{c.Name, 1}, {c.Wider, WiderFactor}}
}

type key struct{}

// With returns a copy of ctx with the client.
func With(ctx context.Context, c Client) context.Context { return context.WithValue(ctx, key{}, c) }

// From returns the client in ctx. It returns the zero Client for work of the program itself.
func From(ctx context.Context) Client {
	c, _ := ctx.Value(key{}).(Client)
	return c
}
