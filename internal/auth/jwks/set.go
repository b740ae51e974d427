// Package jwks reads sets of public keys (RFC 7517), and keeps those of one issuer or client up to
// date.
//
// A [Set] is a document. Keys of it that cannot verify a signature safely are skipped, and do not
// spoil the others. A [Source] fetches the document when it is needed, keeps it as long as its
// server allows, and fetches it again for a key that it does not know.
package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"muster/internal/strictjson"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // compares the names of members exactly
)

// The bounds of a set.
const (
	MaxBytes   = 1 << 20 // of the document
	MaxKeys    = 100
	minRSABits = 2048 // jose has the upper bound
	maxKeyID   = 1024 // bytes
	maxNumber  = 2048 // bytes of a number as text
)

// Algorithms returns the algorithms by which tokens may be signed: RS, PS and ES. Symmetric ones
// are not among them, since what can verify a token could also make one (AU-09, RG-07).
func Algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512}
}

// curves are the curves of the algorithms with elliptic curves.
var curves = map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()}

// The errors of Find for a token that no key fits. Any other error of it means that the keys are
// not available now.
var (
	ErrUnknown   = errors.New("no key of the set has this id and fits the algorithm")
	ErrAmbiguous = errors.New("several keys of the set have this id and fit the algorithm")
)

// key is a public key that can verify signatures.
type key struct {
	id        string
	algorithm string // the only one that it is for; "" for all that it fits
	public    crypto.PublicKey
}

// fits reports whether the key is for an algorithm.
func (k key) fits(a jose.SignatureAlgorithm) bool {
	if k.algorithm != "" && k.algorithm != string(a) {
		return false
	}
	curve, isEC := curves[a]
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		return isEC && public.Curve == curve
	case *rsa.PublicKey:
		return !isEC && slices.Contains(Algorithms(), a)
	}
	return false
}

// Set is the public keys of a document.
type Set struct {
	keys []key
	// Skipped says why keys of the document are not used. The texts hold nothing of the keys.
	Skipped []error
}

// Parse reads a document. It returns an error if that is not a set of keys; a key that cannot be used
// is skipped.
func Parse(document []byte) (*Set, error) {
	if len(document) > MaxBytes {
		return nil, fmt.Errorf("the set of keys has %d bytes, but may have at most %d", len(document), MaxBytes)
	}
	v := strictjson.Validator{Options: strictjson.Options{CheckValues: true, MaxItems: MaxKeys, MaxMembers: MaxKeys}}
	if err := v.Validate(document); err != nil {
		return nil, fmt.Errorf("the set of keys is not valid JSON: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil || set.Keys == nil {
		return nil, errors.New(`the set of keys is not an object with an array "keys"`)
	}
	s := &Set{}
	for n, text := range set.Keys {
		k, err := parseKey(text)
		if err != nil {
			s.Skipped = append(s.Skipped, fmt.Errorf("key %d: %w", n+1, err))
			continue
		}
		s.keys = append(s.keys, k)
	}
	return s, nil
}

// members are the members of a key that count. All others, such as certificates and where to fetch
// them, are not looked at.
type members struct {
	Type      string   `json:"kty"`
	ID        string   `json:"kid,omitempty"`
	Use       string   `json:"use,omitempty"`
	Uses      []string `json:"key_ops,omitempty"`
	Algorithm string   `json:"alg,omitempty"`
	Curve     string   `json:"crv,omitempty"`
	X         string   `json:"x,omitempty"`
	Y         string   `json:"y,omitempty"`
	N         string   `json:"n,omitempty"`
	E         string   `json:"e,omitempty"`
}

// secrets are the members that only private and symmetric keys have.
var secrets = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseKey reads a key, and refuses those that are not public keys for signatures.
func parseKey(text []byte) (key, error) {
	var m members
	var names map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil || json.Unmarshal(text, &names) != nil {
		return key{}, errors.New("it is not an object with the members of a key")
	}
	switch {
	case slices.ContainsFunc(secrets, func(name string) bool { return names[name] != nil }):
		return key{}, errors.New("it is a private key: publish the public key only, and draw a new pair")
	case m.Type != "RSA" && m.Type != "EC":
		return key{}, errors.New("its type is neither RSA nor EC (kty)")
	case m.Use != "" && m.Use != "sig":
		return key{}, errors.New("it is not for signatures (use)")
	case m.Uses != nil && !slices.Contains(m.Uses, "verify"):
		return key{}, errors.New("it is not for verifying (key_ops)")
	case m.Algorithm != "" && !slices.Contains(Algorithms(), jose.SignatureAlgorithm(m.Algorithm)):
		return key{}, errors.New("its algorithm is not accepted (alg)")
	case len(m.ID) > maxKeyID:
		return key{}, fmt.Errorf("its id has more than %d bytes (kid)", maxKeyID)
	case len(m.N) > maxNumber || len(m.E) > maxNumber || len(m.X) > maxNumber || len(m.Y) > maxNumber:
		return key{}, errors.New("it is too large")
	}
	public, err := m.public()
	if err != nil {
		return key{}, errors.New("its members are not those of a valid key")
	}
	if public, ok := public.(*rsa.PublicKey); ok && public.N.BitLen() < minRSABits {
		return key{}, fmt.Errorf("it has %d bits, but must have at least %d", public.N.BitLen(), minRSABits)
	}
	found := key{m.ID, m.Algorithm, public}
	if !slices.ContainsFunc(Algorithms(), found.fits) {
		return key{}, errors.New("no algorithm that is accepted fits its type and curve")
	}
	return found, nil
}

// public returns the key of the members. An EC key is a point on its curve.
func (m members) public() (crypto.PublicKey, error) {
	m.Use, m.Uses = "", nil
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var k jose.JSONWebKey
	err = k.UnmarshalJSON(text)
	return k.Key, err
}

// Len returns the number of keys that can be used.
func (s *Set) Len() int { return len(s.keys) }

// Find returns the key for the header of a token. Without a key id, it is the only key that fits the
// algorithm. The error is [ErrUnknown] or [ErrAmbiguous].
func (s *Set) Find(id string, algorithm jose.SignatureAlgorithm) (found crypto.PublicKey, err error) {
	for _, k := range s.keys {
		switch {
		case id != "" && k.id != id || !k.fits(algorithm):
		case found != nil:
			return nil, ErrAmbiguous
		default:
			found = k.public
		}
	}
	if found == nil {
		return nil, ErrUnknown
	}
	return found, nil
}
