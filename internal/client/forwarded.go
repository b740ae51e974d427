package client

import (
	"errors"
	"net/netip"
	"strings"
)

// ErrForwarded is the error of an X-Forwarded-For with an entry that is not an address.
var ErrForwarded = errors.New("an entry of X-Forwarded-For is not an address")

// Forwarded returns the address of the client of a request that a trusted proxy has forwarded.
// lines are the values of all X-Forwarded-For fields, which are one list. Each proxy appends the
// address that it was called from, and the client may have written what is before that. So the
// list is read from its end: the result is the first address that trusted does not accept, or the
// first of the list if it accepts all.
//
// The result is not valid if the list is empty. It is [ErrForwarded] if an entry that was read is
// not an address; the request must then count for the proxy.
func Forwarded(lines []string, trusted func(netip.Addr) bool) (from netip.Addr, err error) {
	list := strings.Join(lines, ",")
	if strings.Trim(list, ", \t") == "" {
		return netip.Addr{}, nil
	}
	for {
		comma := strings.LastIndexByte(list, ',')
		if from, err = parseEntry(list[comma+1:]); err != nil || comma < 0 || !trusted(from) {
			return from, err
		}
		list = list[:comma]
	}
}

// parseEntry reads an entry in each form that proxies write: an address of IPv4 or IPv6, in
// brackets, with a port, in quotes. An IPv4 address that is written as one of IPv6 is an IPv4
// address.
func parseEntry(text string) (netip.Addr, error) {
	text = strings.Trim(text, " \t")
	if quoted := len(text) >= 2 && strings.HasPrefix(text, `"`) && strings.HasSuffix(text, `"`); quoted {
		text = text[1 : len(text)-1]
	}
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), nil
	}
	if inside, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inside, "]") {
		if text = strings.TrimSuffix(inside, "]"); !strings.Contains(text, ":") {
			return netip.Addr{}, ErrForwarded // only IPv6 has brackets
		}
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, ErrForwarded
	}
	return address.Unmap().WithZone(""), nil
}
