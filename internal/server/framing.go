package server

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"muster/internal/fhir"
)

// framing is what the header of a request says about the end of its body.
type framing int

const (
	framed     framing = iota // by one header field, or there is no body
	unknowable                // in chunks or by HTTP/1.0; the header was not seen whole
	ambiguous                 // by Content-Length and Transfer-Encoding, or by Transfer-Encoding of HTTP/1.0
)

// framingOf returns the framing of a request whose first bytes are head, if head begins with
// it. net/http removes Content-Length from a request in chunks, and Transfer-Encoding from one of
// HTTP/1.0, which it ignores, so that they cannot be seen in its header any more. Such a request may
// have been meant to smuggle another one past a proxy (RFC 9112, 6.1).
func framingOf(r *http.Request, head []byte) framing {
	second := "Content-Length"
	if !r.ProtoAtLeast(1, 1) {
		second = "Transfer-Encoding"
	} else if len(r.TransferEncoding) == 0 {
		return framed
	}
	line, fields, _ := bytes.Cut(head, []byte("\n"))
	method, target, _ := requestLine(string(bytes.TrimSuffix(line, []byte("\r"))))
	if method != r.Method || target != r.RequestURI {
		return unknowable // it was sent together with the request before it
	}
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\n"))
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
			return framed
		}
		if name, _, _ := bytes.Cut(line, []byte(":")); strings.EqualFold(string(bytes.TrimSpace(name)), second) {
			return ambiguous
		}
	}
	return unknowable // the header is longer than what is kept of it
}

// checkFraming refuses a request with an ambiguous end, and closes its connection: what follows
// on it may be a part of the request. The connection is also closed if the header was not seen
// whole.
func checkFraming(w http.ResponseWriter, x *requestState, f framing) {
	if f == framed {
		return
	}
	w.Header().Set("Connection", "close")
	if f == ambiguous {
		x.refused = fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The end of the request is ambiguous, since it has both Content-Length and Transfer-Encoding, or Transfer-Encoding with HTTP/1.0: send one of them, and Transfer-Encoding only with HTTP/1.1."}
	}
}

// checkHost refuses a request for a host that is not this server, if [Config.Hosts] says which
// are.
func (s *Server) checkHost(r *http.Request) error {
	if len(s.Hosts) == 0 || IsOwnHost(r, s.Hosts...) {
		return nil
	}
	s.countRefusal(RefusedHost)
	return refusal{kind: misdirected, text: "This server does not serve the host of the request: send it to " + s.BaseURL + "."}
}

// IsOwnHost reports whether a request is for one of the hosts or for this machine. The port does not
// matter. A page of another site could otherwise read a server on the machine of its visitor, after
// the name of the site has been given the address of that machine (DNS rebinding). A request without
// a host, which HTTP/1.0 allows, and one for the address at which it arrived cannot come from such a
// page.
func IsOwnHost(r *http.Request, hosts ...string) bool {
	host := hostOf(r.Host)
	if host == "" || host == "localhost" || slices.ContainsFunc(hosts, func(own string) bool { return hostOf(own) == host }) {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	arrived, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return address.Unmap().IsLoopback() || arrived != nil && address.WithZone("").Unmap() == addressOf(arrived)
}

// addressOf returns the IP address of a network address, without its zone.
func addressOf(a net.Addr) netip.Addr {
	address, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().WithZone("").Unmap()
}

// hostOf returns a host or the value of a Host header in lower case, without port, brackets and the
// dot at its end.
func hostOf(text string) string {
	host := text
	if h, _, err := net.SplitHostPort(text); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
