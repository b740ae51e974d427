package server

import (
	"errors"
	"net/http"
	"strings"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/fhir"
)

// actAs returns the request of a principal. From now on the limits count for the principal.
func (s *Server) actAs(r *http.Request, p auth.Principal) *http.Request {
	x := stateOf(r)
	x.principal, x.from = p, client.Of(p, x.address)
	return r.WithContext(client.With(auth.With(r.Context(), p), x.from))
}

// identify checks the rate of the client and, if the route needs one, its token (AU-01 to AU-04). It
// returns the request of the principal.
func (s *Server) identify(r *http.Request, needs auth.Interaction) (*http.Request, error) {
	if s.Authenticator == nil || needs == auth.Open || stateOf(r).refused != nil {
		return r, s.checkRate(r)
	}
	r, err := s.authenticate(r)
	if err != nil {
		return nil, err
	}
	if err := s.checkRate(r); err != nil {
		return nil, err
	}
	if auth.From(r.Context()).May(needs) == 0 {
		return nil, fhir.Issue{Code: fhir.CodeForbidden, Reason: fhir.ScopeMissing,
			Diagnostics: "The access token does not allow this request: ask for a token with the scope " + needs.String() + "."}
	}
	return r, nil
}

// authenticate returns the request of the principal of its token. Until the token is known to be
// valid, the limits count for the address of the client.
func (s *Server) authenticate(r *http.Request) (*http.Request, error) {
	counted := false
	count := func() error { counted = true; return s.checkRate(r) }
	token, err := bearerToken(r)
	if err == nil {
		var p auth.Principal
		if p, err = s.Authenticator.Authenticate(r.Context(), token, count); err == nil {
			return s.actAs(r, p), nil
		}
	}
	if !counted {
		if tooMany := count(); tooMany != nil {
			return nil, tooMany
		}
	}
	invalid, ok := errors.AsType[auth.InvalidToken](err)
	switch {
	case ok:
		s.clients.charge(stateOf(r).from, strangerCost)
		return nil, s.notAuthenticated(invalid)
	case errors.Is(err, auth.ErrUnavailable):
		return nil, refusal{kind: unavailable, text: "The access token cannot be checked now: try again after the number of seconds in Retry-After.", cause: err}
	}
	return nil, err
}

// notAuthenticated returns the error for a request without a valid token (AU-03, AU-04, RS-02).
func (s *Server) notAuthenticated(e auth.InvalidToken) error {
	r := refusal{kind: tokenNotAccepted, text: "The request is not authenticated: " + e.Reason + ". Send the header Authorization: Bearer with a valid access token."}
	if e.Expired {
		r.kind = tokenExpired
	}
	r.header = http.Header{"Www-Authenticate": {s.challenge("invalid_token", e.Reason)}}
	return r
}

// challenge returns the value of WWW-Authenticate for an error of RFC 6750.
func (s *Server) challenge(code, description string) string {
	plain := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' { // not allowed in error_description
			return '\''
		}
		return c
	}, description)
	return `Bearer realm="` + s.BaseURL + `", error="` + code + `", error_description="` + plain + `"`
}

// bearerToken returns the token of a request. Tokens are read from the header alone: URLs are
// logged by proxies.
func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	switch len(values) {
	case 0:
		return "", auth.InvalidToken{Reason: "it has no access token"}
	case 1:
	default:
		return "", auth.InvalidToken{Reason: "it has more than one header Authorization"}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if token = strings.Trim(token, " "); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", auth.InvalidToken{Reason: "its header Authorization has no bearer token"}
	}
	if !isBearerToken(token) {
		return "", auth.InvalidToken{Reason: "its bearer token has characters that no token has"}
	}
	return token, nil
}

// isBearerToken reports whether a text has the syntax of a token of RFC 6750.
func isBearerToken(text string) bool {
	return strings.Trim(strings.TrimRight(text, "="), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") == ""
}
