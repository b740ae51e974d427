package jwks

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/auth/fetch"
	"muster/internal/testkit"
	"muster/internal/testkit/issuer"

	"github.com/go-jose/go-jose/v4"
)

// newRSA returns the JWK of a new RSA key.
func newRSA(t testing.TB, id string, bits int) map[string]any {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.JWK(id, k.Public())
}

// newEC returns the JWK of a new EC key.
func newEC(t testing.TB, id string, curve elliptic.Curve) map[string]any {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.JWK(id, k.Public())
}

// with returns a copy of a JWK with members set, or without those that are nil.
func with(jwk map[string]any, members map[string]any) map[string]any {
	jwk = maps.Clone(jwk)
	for name, value := range members {
		if jwk[name] = value; value == nil {
			delete(jwk, name)
		}
	}
	return jwk
}

func document(t testing.TB, keys ...any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSkippedKeys: a key that cannot verify safely is skipped with a reason that repeats nothing of
// it, and the others are used.
func TestSkippedKeys(t *testing.T) {
	t.Attr("requirements", "RG-03 RG-08")
	good, r := newEC(t, "good", elliptic.P384()), newRSA(t, "rsa", 2048)
	ec := newEC(t, "other", elliptic.P256())
	for name, c := range map[string]struct {
		jwk  any
		want string
	}{
		"null":              {nil, "neither RSA nor EC"},
		"a number":          {7, "not an object"},
		"a kid of a number": {with(ec, map[string]any{"kid": 7}), "not an object"},
		"no kty":            {with(ec, map[string]any{"kty": nil}), "neither RSA nor EC"},
		"Kty":               {with(ec, map[string]any{"kty": nil, "Kty": "EC"}), "neither RSA nor EC"},
		"oct":               {map[string]any{"kty": "oct", "k": "c2VjcmV0LXNlY3JldA", "kid": "o"}, "private key"},
		"OKP":               {map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}, "neither RSA nor EC"},
		"private":           {with(ec, map[string]any{"d": ec["x"]}), "private key"},
		"huge private":      {with(r, map[string]any{"d": strings.Repeat("A", 5000), "p": strings.Repeat("A", 5000)}), "private key"},
		"for encryption":    {with(ec, map[string]any{"use": "enc"}), "not for signatures"},
		"for signing only":  {with(ec, map[string]any{"key_ops": []string{"sign"}}), "not for verifying"},
		"no operation":      {with(ec, map[string]any{"key_ops": []string{}}), "not for verifying"},
		"HS256":             {with(r, map[string]any{"alg": "HS256"}), "algorithm is not accepted"},
		"RSA-OAEP":          {with(r, map[string]any{"alg": "RSA-OAEP"}), "algorithm is not accepted"},
		"ES256 of P-384":    {with(newEC(t, "e", elliptic.P384()), map[string]any{"alg": "ES256"}), "no algorithm that is accepted fits"},
		"RS256 of EC":       {with(ec, map[string]any{"alg": "RS256"}), "no algorithm that is accepted fits"},
		"RSA 1024":          {newRSA(t, "r", 1024), "it has 1024 bits, but must have at least 2048"},
		"RSA 12288":         {with(r, map[string]any{"n": strings.Repeat("_", 2048)}), "not those of a valid key"},
		"huge RSA":          {with(r, map[string]any{"n": strings.Repeat("_", 5000)}), "too large"},
		"no modulus":        {with(r, map[string]any{"n": nil}), "not those of a valid key"},
		"no exponent":       {with(r, map[string]any{"e": nil}), "not those of a valid key"},
		"not base64":        {with(r, map[string]any{"n": "?"}), "not those of a valid key"},
		"not on the curve":  {with(ec, map[string]any{"x": ec["y"], "y": ec["x"]}), "not those of a valid key"},
		"another curve":     {with(ec, map[string]any{"crv": "P-384"}), "not those of a valid key"},
		"an unknown curve":  {with(ec, map[string]any{"crv": "secp256k1"}), "not those of a valid key"},
		"a long id":         {with(ec, map[string]any{"kid": strings.Repeat("k", 1025)}), "its id has more than 1024 bytes"},
	} {
		s, err := Parse(document(t, c.jwk, good))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Len() != 1 || len(s.Skipped) != 1 || !strings.Contains(s.Skipped[0].Error(), c.want) {
			t.Errorf("%s: %d keys, %v, want %q", name, s.Len(), s.Skipped, c.want)
		}
		if _, err := s.Find("good", jose.ES384); err != nil {
			t.Errorf("%s: the other key: %v", name, err)
		}
	}
	// What is not looked at does no harm.
	s, err := Parse(document(t, with(ec, map[string]any{"x5u": "http://127.0.0.1:1/never", "x5c": []string{"not a certificate"}, "x5t": "?", "ext": true, "key_ops": []string{"verify"}})))
	if err != nil || s.Len() != 1 {
		t.Errorf("certificates: %v, %+v", err, s)
	}
}

// TestBadSets: documents that are no sets.
func TestBadSets(t *testing.T) {
	ec := newEC(t, "k", elliptic.P256())
	many := make([]any, MaxKeys+1)
	for n := range many {
		many[n] = ec
	}
	for text, want := range map[string]string{
		"":                                       "not valid JSON",
		"<html>":                                 "not valid JSON",
		"null":                                   `no`,
		"[]":                                     `not an object with an array "keys"`,
		"{}":                                     `not an object with an array "keys"`,
		`{"keys":null}`:                          `not an object with an array "keys"`,
		`{"Keys":[]}`:                            `not an object with an array "keys"`,
		`{"keys":{}}`:                            `not an object with an array "keys"`,
		`{"keys":[],"keys":[]}`:                  "same key twice",
		strings.Repeat(`{"a":`, 100):             "nest deeper",
		string(document(t, many...)):             "more than 100",
		strings.Repeat(" ", MaxBytes) + "{}":     "may have at most 1048576",
		`{"keys":[{"kid":"a","kid":"a"}]}`:       "same key twice",
		`{"keys":[]}` + strings.Repeat("x", 1):   "more text after",
		"{\"keys\":[{\"kid\":\"\xff\"}]}":        "UTF-8",
		`{"keys":[` + strings.Repeat("0,", 9999): "more than 100",
	} {
		if s, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %q", text, s, err, want)
		}
	}
}

// TestFind: exactly one key has the id and fits the algorithm (RG-07: RS384 and ES384 among them).
func TestFind(t *testing.T) {
	t.Attr("requirements", "RG-07 RG-08")
	r := newRSA(t, "a", 2048)
	s, err := Parse(document(t,
		r, newEC(t, "a", elliptic.P384()), // one id for two types
		newEC(t, "b", elliptic.P256()), newEC(t, "b", elliptic.P256()), // and for two keys
		with(newEC(t, "c", elliptic.P521()), map[string]any{"alg": "ES512"}),
		with(newRSA(t, "d", 2048), map[string]any{"alg": "RS384"}),
		with(newEC(t, "b", elliptic.P256()), map[string]any{"use": "enc"}),
	))
	if err != nil || s.Len() != 6 {
		t.Fatalf("%v, %+v", err, s)
	}
	for _, c := range []struct {
		id        string
		algorithm jose.SignatureAlgorithm
		want      error
	}{
		{"a", jose.RS256, nil}, {"a", jose.RS384, nil}, {"a", jose.PS512, nil}, {"a", jose.ES384, nil}, {"a", jose.ES256, ErrUnknown},
		{"b", jose.ES256, ErrAmbiguous}, {"c", jose.ES512, nil}, {"c", jose.ES384, ErrUnknown},
		{"d", jose.RS384, nil}, {"d", jose.RS256, ErrUnknown}, {"d", jose.PS384, ErrUnknown}, {"e", jose.RS256, ErrUnknown},
		{"a", jose.HS256, ErrUnknown}, {"a", "none", ErrUnknown}, {"a", "", ErrUnknown}, {"a", jose.EdDSA, ErrUnknown},
		{"", jose.ES512, nil}, {"", jose.ES256, ErrAmbiguous}, {"", jose.RS256, nil}, {"", jose.RS384, ErrAmbiguous},
	} {
		if k, err := s.Find(c.id, c.algorithm); !errors.Is(err, c.want) || (k == nil) != (err != nil) {
			t.Errorf("%q by %s: %v, %v", c.id, c.algorithm, k, err)
		}
	}
}

// fixture is an issuer with a source of its keys, by a clock of the test.
type fixture struct {
	*issuer.Issuer
	*Source
	clock *testkit.Clock
	log   *testkit.Log
}

func newFixture(t *testing.T, stale time.Duration) *fixture {
	t.Helper()
	f := &fixture{Issuer: issuer.StartTLS(), clock: testkit.NewClock(time.Now()), log: &testkit.Log{}}
	t.Cleanup(f.Issuer.Close)
	c := fetch.New(fetch.Options{Roots: f.Roots(), Timeout: 200 * time.Millisecond})
	t.Cleanup(c.Close)
	f.Source = NewSource(Options{Name: f.URL, Load: FromURL(c, f.URL+issuer.KeysPath), Stale: stale, Now: f.clock.Now, Logger: slog.New(slog.NewTextHandler(f.log, nil))})
	return f
}

// find looks for the present key of an algorithm of the issuer.
func (f *fixture) find(t *testing.T, algorithm jose.SignatureAlgorithm) error {
	t.Helper()
	id, ok := f.Header(string(algorithm))["kid"].(string)
	if !ok {
		t.Fatal("no key")
	}
	_, err := f.Find(t.Context(), id, algorithm)
	return err
}

// TestCacheControl counts the fetches: keys are kept as long as the header says, and no longer.
func TestCacheControl(t *testing.T) {
	t.Attr("requirements", "RG-06")
	for control, want := range map[string][]int{ // fetches of three uses: at once, after 59 s, after 61 s
		"max-age=60":             {1, 1, 2},
		"no-store":               {1, 2, 3},
		"no-cache":               {1, 2, 3},
		"public, max-age=999999": {1, 1, 1},
		"":                       {1, 1, 1},
	} {
		f := newFixture(t, 0)
		f.Control(control)
		for n, pause := range []time.Duration{0, 59 * time.Second, 2 * time.Second} {
			f.clock.Add(pause)
			if err := f.find(t, jose.ES384); err != nil {
				t.Fatal(err)
			}
			if got := f.Fetches(issuer.KeysPath); got != want[n] {
				t.Errorf("%q: use %d has fetched %d times, want %d", control, n+1, got, want[n])
			}
		}
	}
}

// TestNoStoreIsLimited: a server that forbids to keep its keys is not asked without limit.
func TestNoStoreIsLimited(t *testing.T) {
	f := newFixture(t, 0)
	f.Control("no-store")
	for range 100 {
		if err := f.find(t, jose.RS256); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.Fetches(issuer.KeysPath); got != fetchBurst {
		t.Errorf("%d fetches at once", got)
	}
	f.clock.Add(fetchEvery)
	f.Rotate()
	if err := f.find(t, jose.RS256); err != nil {
		t.Errorf("after %s: %v", fetchEvery, err)
	}
}

// TestRotation: a new key is fetched at once, and random ids do not cause fetches without limit.
func TestRotation(t *testing.T) {
	t.Attr("requirements", "RG-08")
	f := newFixture(t, 0)
	f.Control("max-age=3600")
	if err := f.find(t, jose.ES256); err != nil {
		t.Fatal(err)
	}
	f.Rotate()
	if err := f.find(t, jose.ES256); err != nil || f.Fetches(issuer.KeysPath) != 2 {
		t.Errorf("after a rotation: %v, %d fetches", err, f.Fetches(issuer.KeysPath))
	}
	for n := range 100 {
		if _, err := f.Find(t.Context(), fmt.Sprint(n), jose.ES256); !errors.Is(err, ErrUnknown) {
			t.Fatalf("an unknown key: %v", err)
		}
	}
	if got := f.Fetches(issuer.KeysPath); got != 1+unknownBurst {
		t.Errorf("%d fetches", got)
	}
	f.Rotate()
	if err := f.find(t, jose.ES256); !errors.Is(err, ErrUnknown) {
		t.Errorf("while fetches are limited: %v", err)
	}
	f.clock.Add(unknownEvery)
	if err := f.find(t, jose.ES256); err != nil {
		t.Errorf("after %s: %v", unknownEvery, err)
	}
}

// TestIssuerDown: while an issuer is down, its keys are used for the time stated and no longer, and it
// is asked once in a while.
func TestIssuerDown(t *testing.T) {
	t.Attr("requirements", "RG-06 RG-08")
	bad := map[string]http.HandlerFunc{
		"status 500": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) },
		"not JSON":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"redirects":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"huge":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20)) },
		"silent":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	for name, answer := range bad {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, IssuerStale)
			f.Control("max-age=60")
			f.Override(answer)
			start := time.Now()
			err := f.find(t, jose.ES256)
			if err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), f.URL) {
				t.Errorf("without keys: %v", err)
			}
			if again := f.find(t, jose.ES256); !errors.Is(again, err) && again.Error() != err.Error() || f.Fetches(issuer.KeysPath) != 1 {
				t.Errorf("at once again: %v, %d fetches", again, f.Fetches(issuer.KeysPath))
			}
			f.Override(nil)
			f.clock.Add(retryAfter)
			if err := f.find(t, jose.ES256); err != nil {
				t.Errorf("up again: %v", err)
			}
			f.Override(answer)
			for range 6 { // a minute and more
				f.clock.Add(20 * time.Second)
				if err := f.find(t, jose.ES256); err != nil {
					t.Errorf("down: %v", err)
				}
			}
			if _, err := f.Find(t.Context(), "new", jose.ES256); err == nil || errors.Is(err, ErrUnknown) != (name == "") {
				t.Errorf("a key that may be new: %v", err)
			}
			f.clock.Add(IssuerStale)
			if err := f.find(t, jose.ES256); err == nil {
				t.Error("keys are used beyond the time stated")
			}
			f.Override(nil)
			f.clock.Add(retryAfter)
			if err := f.find(t, jose.ES256); err != nil {
				t.Errorf("up again: %v", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if n := strings.Count(f.log.String(), "cannot fetch keys"); n != 2 || strings.Count(f.log.String(), "available again") != 2 {
				t.Errorf("the log:\n%s", f.log)
			}
		})
	}
}

// TestClientDown: keys of a client are never used longer than its server allows.
func TestClientDown(t *testing.T) {
	t.Attr("requirements", "RG-06")
	f := newFixture(t, 0)
	f.Control("max-age=60")
	if err := f.find(t, jose.ES256); err != nil {
		t.Fatal(err)
	}
	f.Override(http.NotFound)
	f.clock.Add(59 * time.Second)
	if err := f.find(t, jose.ES256); err != nil {
		t.Errorf("within the time: %v", err)
	}
	f.clock.Add(time.Second)
	if err := f.find(t, jose.ES256); err == nil {
		t.Error("keys are used beyond the time")
	}
}

// TestSharedFetch: those who need keys at the same time share a fetch, which continues if one of them
// ends.
func TestSharedFetch(t *testing.T) {
	f := newFixture(t, 0)
	id, algorithm := f.Header("RS256")["kid"].(string), jose.RS256
	begun, release := make(chan struct{}), make(chan struct{})
	var fetches atomic.Int32
	load := f.Load
	f.Load = func(ctx context.Context) ([]byte, time.Duration, error) {
		if fetches.Add(1) == 1 {
			close(begun)
		}
		<-release
		return load(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := f.Find(ctx, id, algorithm)
		ended <- err
	}()
	<-begun
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that has ended: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := f.Find(t.Context(), id, algorithm); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// TestFile: a file is read again when it is a minute old, and for a new key.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	clock := testkit.NewClock(time.Now())
	s := NewSource(Options{Name: path, Load: FromFile(path), Stale: IssuerStale, Now: clock.Now, Logger: slog.New(slog.DiscardHandler)})
	if err := s.Refresh(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	clock.Add(retryAfter)
	first, second := document(t, newEC(t, "first", elliptic.P256())), document(t, newEC(t, "second", elliptic.P256()))
	for _, c := range []struct {
		text []byte
		id   string
		add  time.Duration
		want error
	}{{first, "first", 0, nil}, {second, "second", 0, nil}, {first, "second", 0, nil}, {first, "second", fileLife, ErrUnknown}, {[]byte("{"), "first", fileLife, nil}} {
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		clock.Add(c.add)
		if _, err := s.Find(t.Context(), c.id, jose.ES256); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.id, err, c.want)
		}
	}
}

// FuzzParse: no document leads to a panic, and keys that are used verify signatures only.
func FuzzParse(f *testing.F) {
	i := issuer.Start()
	f.Add(i.Set())
	i.Close()
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":"","d":""},{"kty":"oct","k":"a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		for _, k := range s.keys {
			switch public := k.public.(type) {
			case *rsa.PublicKey:
				if public.N.BitLen() < minRSABits {
					t.Errorf("%d bits", public.N.BitLen())
				}
			case *ecdsa.PublicKey:
			default:
				t.Errorf("a key of type %T", public)
			}
		}
		for _, a := range Algorithms() {
			_, _ = s.Find("", a)
		}
	})
}
