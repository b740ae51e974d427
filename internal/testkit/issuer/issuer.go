// Package issuer is an issuer of access tokens for tests: a real web server with real keys. It signs
// by itself, without the library that verifies, so that tests compare two implementations.
package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
)

// The paths of the server.
const (
	KeysPath     = "/keys"
	MetadataPath = "/.well-known/openid-configuration"
)

// Issuer is a server with one signing key for each kind of algorithm.
type Issuer struct {
	URL    string
	server *httptest.Server

	mu       sync.Mutex
	keys     map[string]signer // by algorithm
	control  string
	metadata map[string]any
	override http.HandlerFunc
	fetches  map[string]int
	rotated  int
}

type signer struct {
	id      string
	private crypto.Signer
}

// Start starts an issuer on this machine.
func Start() *Issuer { return start((*httptest.Server).Start) }

// StartTLS starts an issuer with TLS. Its certificate is in Roots.
func StartTLS() *Issuer { return start((*httptest.Server).StartTLS) }

func start(begin func(*httptest.Server)) *Issuer {
	i := &Issuer{fetches: map[string]int{}, control: "max-age=300"}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	begin(i.server)
	i.URL = i.server.URL
	i.metadata = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + KeysPath}
	i.Rotate()
	return i
}

// Close stops the server.
func (i *Issuer) Close() {
	i.server.CloseClientConnections()
	i.server.Close()
}

// Roots returns the certificate of an issuer with TLS.
func (i *Issuer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.server.Certificate())
	return pool
}

// rsaKeys are drawn once: it takes long.
var rsaKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for n := range keys {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[n] = k
	}
	return keys
})

// Rotate replaces all keys.
func (i *Issuer) Rotate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rotated++
	i.keys = map[string]signer{}
	private := rsaKeys()[i.rotated%2]
	for _, a := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		i.keys[a] = signer{fmt.Sprintf("rsa-%d", i.rotated), private}
	}
	for a, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		i.keys[a] = signer{fmt.Sprintf("%s-%d", a, i.rotated), k}
	}
}

// Control sets the header Cache-Control of the keys.
func (i *Issuer) Control(value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.control = value
}

// Metadata sets a member of the metadata; nil removes it.
func (i *Issuer) Metadata(name string, value any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.metadata[name] = value; value == nil {
		delete(i.metadata, name)
	}
}

// Override answers all requests instead of the issuer; nil ends that.
func (i *Issuer) Override(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.override = h
}

// Fetches returns how many requests for a path have come.
func (i *Issuer) Fetches(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches[path]
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches[r.URL.Path]++
	h := i.override
	if h == nil {
		h = i.answer(r.URL.Path)
	}
	i.mu.Unlock()
	h(w, r)
}

// answer returns the handler of a path. The caller holds mu.
func (i *Issuer) answer(path string) http.HandlerFunc {
	var document any
	switch path {
	case KeysPath:
		document = i.set()
	case MetadataPath:
		document = i.metadata
	default:
		return http.NotFound
	}
	text, err := json.Marshal(document)
	control := i.control
	return func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", control)
		_, _ = w.Write(text)
	}
}

// Set returns the document of the public keys.
func (i *Issuer) Set() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	text, err := json.Marshal(i.set())
	if err != nil {
		panic(err)
	}
	return text
}

func (i *Issuer) set() map[string]any {
	var keys []any
	done := map[string]bool{}
	for _, k := range i.keys {
		if !done[k.id] {
			keys = append(keys, JWK(k.id, k.private.Public()))
		}
		done[k.id] = true
	}
	return map[string]any{"keys": keys}
}

// JWK returns a public key as the member of a set.
func JWK(id string, public crypto.PublicKey) map[string]any {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": id, "use": "sig", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(point) - 1) / 2
		return map[string]any{"kty": "EC", "kid": id, "use": "sig", "crv": k.Params().Name, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:])}
	}
	panic(fmt.Sprintf("%T is not a key of a set", public))
}

// Claims returns the claims of a token for an audience, which is valid for five minutes.
func (i *Issuer) Claims(audience, client, scope string, now time.Time) map[string]any {
	return map[string]any{"iss": i.URL, "aud": audience, "client_id": client, "sub": client, "scope": scope, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
}

// Header returns the header of a token that is signed by an algorithm.
func (i *Issuer) Header(algorithm string) map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	return map[string]any{"alg": algorithm, "typ": "at+jwt", "kid": i.keys[algorithm].id}
}

// Token returns a token with claims, signed by the present key of an algorithm.
func (i *Issuer) Token(algorithm string, claims map[string]any) string {
	return i.Sign(algorithm, i.Header(algorithm), claims)
}

// Sign returns a token with any header and claims, signed by the present key of an algorithm.
func (i *Issuer) Sign(algorithm string, header, claims map[string]any) string {
	i.mu.Lock()
	private := i.keys[algorithm].private
	i.mu.Unlock()
	return Sign(private, algorithm, marshal(header), marshal(claims))
}

// Sign returns a token of the texts of a header and a payload.
func Sign(private crypto.Signer, algorithm string, header, payload []byte) string {
	input := encode(header) + "." + encode(payload)
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[algorithm[2:]]
	h := hash.New()
	h.Write([]byte(input))
	sum := h.Sum(nil)
	var signature []byte
	var err error
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if algorithm[0] == 'P' {
			signature, err = rsa.SignPSS(rand.Reader, k, hash, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(nil, k, hash, sum)
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, k, sum); err == nil {
			size := (k.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	}
	if err != nil {
		panic(err)
	}
	return input + "." + encode(signature)
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
