package fhir

import "strings"

// BelowBase returns a URL without the longest of the bases that it is below, or as it is. The
// bases have no trailing slash. An empty base is ignored. Servers are equal as [SameBase] says.
func BelowBase(url string, bases ...string) string {
	rest := url
	for _, base := range bases {
		if below, ok := cutBase(url, base); ok && strings.HasPrefix(below, "/") && len(below)-1 < len(rest) {
			rest = below[1:]
		}
	}
	return rest
}

// SameBase reports whether two base URLs are equal. Scheme and host are so in any case of their
// letters, with the default port or without one (RFC 3986, 6.2.2.1 and 6.2.3).
func SameBase(a, b string) bool {
	rest, ok := cutBase(a, b)
	return ok && rest == ""
}

// cutBase returns what follows a base in a URL.
func cutBase(url, base string) (rest string, ok bool) {
	if base == "" {
		return "", false
	}
	server, path := cutServer(url)
	wantServer, wantPath := cutServer(base)
	rest, ok = strings.CutPrefix(path, wantPath)
	return rest, ok && strings.EqualFold(server, wantServer)
}

// cutServer slices an absolute URL before its path. The server is the scheme and the authority, without
// the default port of the scheme. It is empty for other texts.
func cutServer(url string) (server, path string) {
	scheme, rest, absolute := strings.Cut(url, "://")
	if !absolute {
		return "", url
	}
	end := strings.IndexByte(rest, '/')
	if end < 0 {
		end = len(rest)
	}
	path = rest[end:]
	server = url[:len(url)-len(path)]
	switch {
	case strings.EqualFold(scheme, "https"):
		server = strings.TrimSuffix(server, ":443")
	case strings.EqualFold(scheme, "http"):
		server = strings.TrimSuffix(server, ":80")
	}
	return strings.TrimSuffix(server, ":"), path
}
