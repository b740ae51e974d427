package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/fhir"
)

// fakeTokens accepts the tokens that it has. It verifies each token that is not "remembered".
type fakeTokens map[string]auth.Principal

func (f fakeTokens) Authenticate(_ context.Context, token string, mayVerify func() error) (auth.Principal, error) {
	if token != "remembered" {
		if err := mayVerify(); err != nil {
			return auth.Principal{}, err
		}
	}
	switch p, ok := f[token]; {
	case ok:
		return p, nil
	case token == "expired":
		return auth.Principal{}, auth.InvalidToken{Reason: "the token has expired", Expired: true}
	case token == "unknown-issuer-down":
		return auth.Principal{}, auth.Unavailable(errors.New("connect: secret host refused"))
	}
	return auth.Principal{}, auth.InvalidToken{Reason: `the "signature" does not match`}
}

// known returns a principal that may ask for all types in some interactions.
func known(client string, interactions ...auth.Interaction) auth.Principal {
	p := auth.Of("https://issuer.example.org", client)
	for _, i := range interactions {
		p.Grants[i] = fhir.AllTypes()
	}
	return p
}

var someTokens = fakeTokens{
	"all":        known("all", auth.Search, auth.Read, auth.Export),
	"remembered": known("remembered", auth.Search, auth.Read, auth.Export),
	"search":     known("s", auth.Search),
	"read":       known("r", auth.Read),
	"export":     known("e", auth.Export),
	"nothing":    known("n"),
}

// protected are the requests that need a token, with the scope that each needs.
var protected = []struct{ method, path, scope string }{
	{"POST", "/api/v1/fhir/$export", "export"},
	{"GET", "/api/v1/fhir/$export-poll-status?_jobId=" + knownJob, "export"},
	{"DELETE", "/api/v1/fhir/$export-poll-status?_jobId=" + knownJob, "export"},
	{"GET", "/api/v1/fhir/Binary/" + knownFile, "export"},
	{"POST", "/api/v1/fhir/Binary/" + knownFile, "export"},
	{"GET", "/api/v1/fhir/Practitioner?name=a", "search"},
	{"GET", "/api/v1/fhir/?_getpages=x", "search"},
	{"GET", "/api/v1/fhir?_getpages=x", "search"},
	{"GET", "/api/v1/fhir/Practitioner/1", "read"},
	{"PUT", "/api/v1/fhir/Practitioner/1", "read"},
}

// TestTokens sends each request with tokens that are missing, invalid, or have another scope.
func TestTokens(t *testing.T) {
	t.Attr("requirements", "AU-01 AU-02 AU-03 AU-04 RS-01 RS-02 RS-03 PO-15")
	u := startServer(t, func(c *Config) { c.Authenticator = someTokens })
	for _, request := range protected {
		headers := []string{"Content-Type: application/fhir+json", "Prefer: respond-async"}
		send := func(authorization ...string) reply {
			return u.request(request.method, request.path, parameters, append(authorization, headers...)...)
		}
		for _, c := range []struct {
			name          string
			authorization []string
			status        int
			code, says    string
		}{
			{"no token", nil, 401, "login", "it has no access token"},
			{"another scheme", []string{"Authorization: Basic YTpi"}, 401, "login", "has no bearer token"},
			{"an empty token", []string{"Authorization: Bearer"}, 401, "login", "has no bearer token"},
			{"two tokens", []string{"Authorization: Bearer all", "Authorization: Bearer all"}, 401, "login", "more than one header"},
			{"odd characters", []string{"Authorization: Bearer all, Bearer all"}, 401, "login", "characters that no token has"},
			{"a wrong token", []string{"Authorization: Bearer wrong"}, 401, "login", "signature"},
			{"an expired token", []string{"Authorization: Bearer expired"}, 401, "expired", "has expired"},
			{"no scope", []string{"Authorization: Bearer nothing"}, 403, "forbidden", "with the scope " + request.scope},
			{"an issuer that is down", []string{"Authorization: Bearer unknown-issuer-down"}, 503, "transient", "cannot be checked now"},
		} {
			a := send(c.authorization...)
			if a.StatusCode != c.status || string(u.outcome(a)[0].Code) != c.code || !strings.Contains(string(a.body), c.says) {
				t.Errorf("%s %s with %s: %d %s", request.method, request.path, c.name, a.StatusCode, a.body)
			}
			challenge := a.Header.Get("WWW-Authenticate")
			code := map[int]string{401: `error="invalid_token"`, 403: `error="insufficient_scope"`}[c.status]
			if strings.HasPrefix(challenge, `Bearer realm="`+base+`", `) != (code != "") || !strings.Contains(challenge, code) || strings.Count(challenge, `"`)%2 != 0 || strings.Count(challenge, `"`) > 6 {
				t.Errorf("%s %s with %s: WWW-Authenticate: %s", request.method, request.path, c.name, challenge)
			}
			if strings.Contains(string(a.body), "secret host") || c.status == 503 && a.Header.Get("Retry-After") == "" {
				t.Errorf("%s %s with %s: %v %s", request.method, request.path, c.name, a.Header, a.body)
			}
			if strings.Contains(request.path, "poll") && request.method == "GET" && (a.Header.Get("Retry-After") == "" || a.Header.Get("X-Progress") == "") {
				t.Errorf("a poll with %s: %v", c.name, a.Header) // PO-02
			}
		}
		for token := range someTokens {
			a := send("Authorization: bearer  " + token) // any case and number of spaces
			may := token == "all" || token == "remembered" || token == request.scope
			if refused := a.StatusCode == 401 || a.StatusCode == 403; refused == may {
				t.Errorf("%s %s with the token %s: %d %s", request.method, request.path, token, a.StatusCode, a.body)
			}
		}
	}
	if log := u.log.String(); strings.Contains(log, "Bearer wrong") || !strings.Contains(log, "secret host refused") || !strings.Contains(log, `"principal":"https://issuer.example.org all"`) {
		t.Errorf("the log has a token, or lacks the cause or the principal:\n%s", log)
	}
}

// TestOpenRoutes: the CapabilityStatement and the probes need no token (AU-07).
func TestOpenRoutes(t *testing.T) {
	t.Attr("requirements", "AU-07 CS-02 AU-05")
	u := startServer(t, func(c *Config) { c.Authenticator, c.TokenURL = someTokens, "https://issuer.example.org/token" })
	for _, path := range []string{"/api/v1/fhir/metadata", "/healthz", "/readyz"} {
		if a := u.request("GET", path, "", "Authorization: Bearer wrong"); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	for _, fact := range []string{`"code":"OAuth"`, `"url":"token","valueUri":"https://issuer.example.org/token"`} {
		if a := u.request("GET", "/api/v1/fhir/metadata", ""); !strings.Contains(string(a.body), fact) {
			t.Errorf("the CapabilityStatement lacks %s", fact)
		}
	}
}

// TestTokenReachesServices: the services get the principal, and the limits count for it.
func TestTokenReachesServices(t *testing.T) {
	u := startServer(t, func(c *Config) { c.Authenticator = someTokens })
	var got auth.Principal
	var counted client.Client
	u.fake.inspect = func(ctx context.Context) { got, counted = auth.From(ctx), client.From(ctx) }
	u.request("POST", "/api/v1/fhir/$export", parameters, "Content-Type: application/json", "Prefer: respond-async", "Authorization: Bearer export")
	if got.ID != "https://issuer.example.org e" || counted.Name != "principal https://issuer.example.org e" {
		t.Errorf("principal %v, client %v", got, counted)
	}
}

// TestRateOfStrangers: requests with wrong tokens use up the allowance of their address, and no
// signature is checked beyond it. A client whose token is remembered is not affected.
func TestRateOfStrangers(t *testing.T) {
	t.Attr("requirements", "TK-14")
	u := startServer(t, func(c *Config) {
		c.Authenticator, c.Limits.Rate, c.Limits.Burst = someTokens, 0.001, 3*strangerCost
	})
	status := func(token string) int {
		return u.request("GET", "/api/v1/fhir/Practitioner/1", "", "Authorization: Bearer "+token).StatusCode
	}
	if first := status("remembered"); first != 200 {
		t.Fatalf("the first request: %d", first)
	}
	for n := range 4 {
		if got, want := status("wrong"), []int{401, 401, 401, 429}[n]; got != want {
			t.Errorf("request %d with a wrong token: %d, want %d", n+1, got, want)
		}
	}
	if got := status("all"); got != 429 {
		t.Errorf("a token that is not known, of the same address: %d", got)
	}
	if got := u.request("GET", "/api/v1/fhir/Practitioner/1", "").StatusCode; got != 429 {
		t.Errorf("without a token: %d", got)
	}
	if got := status("remembered"); got != 200 {
		t.Errorf("a remembered token of the same address: %d", got)
	}
}

// TestCORS: only pages of stated origins may use the API.
func TestCORS(t *testing.T) {
	const page = "https://console.example.org"
	u := startServer(t, func(c *Config) { c.Authenticator, c.Origins = someTokens, []string{page} })
	preflight := func(origin string) reply {
		return u.request("OPTIONS", "/api/v1/fhir/$export", "", "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
	}
	a := preflight(page)
	if h := a.Header; a.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != page || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "DELETE") {
		t.Errorf("preflight: %d %v", a.StatusCode, a.Header)
	}
	if a := preflight("https://other.example.org"); a.StatusCode == 204 || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another origin: %d %v", a.StatusCode, a.Header)
	}
	a = u.request("GET", "/api/v1/fhir/Practitioner/1", "", "Origin: "+page)
	if h := a.Header; a.StatusCode != 401 || h.Get("Access-Control-Allow-Origin") != page || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "X-Progress") {
		t.Errorf("an error: %d %v", a.StatusCode, a.Header)
	}
	closed := startServer(t)
	if a := closed.request("GET", "/api/v1/fhir/metadata", "", "Origin: "+page); a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Vary") != "" {
		t.Errorf("without origins: %v", a.Header)
	}
}

// TestSecurityHeaders: every answer has the headers of security, also one of a request that no
// handler sees.
func TestSecurityHeaders(t *testing.T) {
	t.Attr("requirements", "HD-04")
	u := startServer(t)
	for _, path := range []string{"/api/v1/fhir/metadata", "/nothing", "/healthz", "/api/v1/fhir/Practitioner/%zz"} {
		w := u.dial()
		w.send("GET "+path+" HTTP/1.1", "Host: localhost")
		a := w.receive("GET")
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Strict-Transport-Security": "max-age=31536000"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}
