package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckURL returns an error if the text is not the URL of a database. It makes no connection
// and no look-up. The error repeats nothing of the text: a password with a character that ends
// a part of a URL can end up in any part of it.
//
// pgx and libpq read some URLs differently than package net/url does, and accept parameters
// without a URL (host=… password=…). CheckURL accepts only what all of them read in the same
// way.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// WithoutPassword returns the URL without its passwords, or "URL" if [CheckURL] refuses it. The
// result can be used with PGPASSWORD or ~/.pgpass.
func WithoutPassword(text string) string {
	u, err := splitURL(text)
	if err != nil {
		return "URL"
	}
	u.password = ""
	u.keep(func(name string) bool { return name != "password" && name != "sslpassword" })
	return u.String()
}

// parseURL checks a URL and returns the configuration of its connections.
func parseURL(text string) (*pgxpool.Config, error) {
	u, err := splitURL(text)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, u.explain(err) // pgx repeats parts of the URL
	}
	return config, nil
}

// databaseURL is a URL in parts, as they are written.
type databaseURL struct {
	scheme         string
	user, password string
	hosts          string // hosts and ports, separated by commas
	path           string // with the leading slash, or empty
	query          string
}

// splitURL splits a URL whose parts cannot be mistaken for each other.
func splitURL(text string) (u databaseURL, err error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "postgres" && scheme != "postgresql" {
		return u, urlError("it does not begin with postgres:// or postgresql://")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	switch {
	case strings.ContainsFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return u, urlError("it contains white space")
	case strings.Contains(rest, "#"):
		return u, urlError("it contains a #")
	case strings.Contains(tail, "@") || strings.Count(authority, "@") > 1:
		return u, urlError("it contains an @ that is not the one in front of the host")
	case !isPercentEncoded(rest):
		return u, urlError("it contains a % that no two hexadecimal digits follow")
	}
	u.scheme = scheme
	userinfo, hosts, ok := strings.Cut(authority, "@")
	if !ok {
		userinfo, hosts = "", authority
	}
	u.user, u.password, _ = strings.Cut(userinfo, ":")
	u.hosts = hosts
	u.path, u.query, _ = strings.Cut(tail, "?")
	for hostPort := range strings.SplitSeq(hosts, ",") {
		if !isHostPort(hostPort) {
			return u, urlError("its host or its port is not valid")
		}
	}
	return u, nil
}

// urlError describes why a URL is refused, and what to write.
func urlError(problem string) error {
	return fmt.Errorf("the URL of the database cannot be used, since %s: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, and "+
		"percent-encode special characters of the user and the password: %%40 for @, %%2F for /, %%3F for ?, %%23 for #, %%3A for :, %%25 for %%", problem)
}

// isPercentEncoded reports whether two hexadecimal digits follow each %, and not for the
// character 0.
func isPercentEncoded(text string) bool {
	decoded, err := url.PathUnescape(text)
	return err == nil && !strings.Contains(decoded, "\x00")
}

// isHostPort reports whether the text can be the name or the address of a host, or the folder of
// a socket, with an optional port. The host may be empty.
func isHostPort(text string) bool {
	if address, ok := strings.CutPrefix(text, "["); ok {
		address, port, ok := strings.Cut(address, "]")
		ip, err := netip.ParseAddr(unescaped(address))
		return ok && err == nil && ip.Is6() && (port == "" || port[0] == ':' && isPort(port[1:]))
	}
	host, port, _ := strings.Cut(text, ":")
	host = unescaped(host)
	inName := func(r rune) bool {
		return r == '-' || r == '.' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
	}
	return isPort(port) && (strings.HasPrefix(host, "/") && !strings.Contains(host, ",") || !strings.ContainsFunc(host, func(r rune) bool { return !inName(r) }))
}

// isPort reports whether the text is the number of a port, or empty.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// unescaped decodes a text that isPercentEncoded accepts.
func unescaped(text string) string {
	decoded, _ := url.PathUnescape(text)
	return decoded
}

// String returns the URL.
func (u databaseURL) String() string {
	text := u.scheme + "://"
	switch {
	case u.password != "":
		text += u.user + ":" + u.password + "@"
	case u.user != "":
		text += u.user + "@"
	}
	text += u.hosts + u.path
	if u.query != "" {
		text += "?" + u.query
	}
	return text
}

// keep removes the parameters whose name does not satisfy the condition.
func (u *databaseURL) keep(condition func(name string) bool) {
	var kept []string
	for pair := range strings.SplitSeq(u.query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if pair != "" && condition(unescaped(name)) {
			kept = append(kept, pair)
		}
	}
	u.query = strings.Join(kept, "&")
}

// explain says why pgx refuses the URL, without repeating it. A parameter is named only if it is
// one of libpq.
func (u databaseURL) explain(err error) error {
	var unreadable *fs.PathError
	switch {
	case errors.As(err, &unreadable):
		return fmt.Errorf("a file that the URL of the database or a PG… variable names cannot be read: %w: check sslrootcert, sslcert and sslkey", unreadable.Err)
	case !isAccepted(""):
		return errors.New("a variable of the environment whose name begins with PG is not valid: check it, or unset it")
	}
	for pair := range strings.SplitSeq(u.query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if slices.Contains(libpqOptions, name) && !isAccepted(pair) {
			return fmt.Errorf("the parameter %s in the URL of the database is not valid: check its value", name)
		}
	}
	return errors.New("a parameter in the URL of the database is not valid: write NAME=VALUE after the question mark, separated by &, and percent-encode special characters")
}

// isAccepted reports whether pgx accepts a URL with this query alone.
func isAccepted(query string) bool {
	_, err := pgxpool.ParseConfig("postgres://localhost/?" + query)
	return err == nil
}

// libpqOptions are the parameters of a URL that configure the connection and that libpq supports.
var libpqOptions = []string{"host", "port", "connect_timeout", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslsni",
	"channel_binding", "target_session_attrs", "passfile", "service", "servicefile", "krbsrvname"}

// forLibpq converts the URL to one that libpq supports, without settings of sessions and pools,
// and without the passwords. It returns the password of the user.
func forLibpq(text string) (target, password string, err error) {
	u, err := splitURL(text)
	if err != nil {
		return "", "", err
	}
	password = unescaped(u.password)
	u.password = ""
	u.keep(func(name string) bool { return slices.Contains(libpqOptions, name) })
	return u.String(), password, nil
}
