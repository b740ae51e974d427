package searchset

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"muster/internal/auth"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// A token is a result set in base64url without padding. It consists of an authentication
// tag and the encrypted body. The tag is the first [tagBytes] bytes of the HMAC-SHA-256
// of the body under the secret of the directory. The body is encrypted with AES in
// counter mode; the tag is the initial counter. The HMAC includes the principal of the
// search, so another client cannot use the token. The body is encrypted because gaps
// between row keys would reveal how many resources the directory hides. It consists of
// unsigned varints:
//
//	format            tokenFormat
//	expiry            minutes since 1970
//	type              fhir.Type
//	reaches           fhir.TypeSet
//	flags             1 more, 2 visible.Active, 4 visible.NotSuppressed
//	total+1           0 without a total
//	summary           index in summaries
//	elements          number, then the index of each in fhir.Elements
//	includes          number, then for each: flags (1 reverse, 2 iterate), source, parameter id, target
//	keys              number, then for each: signed difference of its sequence to that of the key before
//
// The row keys of a type are close together: 150 unsorted keys of a national directory
// take about 600 bytes.

// PageSecret is the name of the secret of the tokens, see [store.Secrets]. A server makes it when
// it starts, so that no search has to write.
const PageSecret = "pages"

const (
	tokenFormat = 2
	tagBytes    = 16
	minute      = 60_000 // ms
)

var summaries = []search.Summary{search.SummaryFalse, search.SummaryTrue, search.SummaryText, search.SummaryData, search.SummaryCount}

// errToken is returned for every token that cannot be used.
var errToken = fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "The page does not exist: its link has expired or belongs to another client. Search again."}

// newToken returns a token for a result set. It expires after [Config.PageLife].
func (s *Service) newToken(ctx context.Context, results resultSet) (string, error) {
	secret, err := s.tokenSecret(ctx)
	if err != nil {
		return "", err
	}
	expiry := fhir.InstantOf(s.Now().Add(s.PageLife))
	body := results.pack(uint64(expiry+minute-1) / minute)
	tag := authTag(ctx, secret, body)
	return base64.RawURLEncoding.EncodeToString(append(tag, crypt(secret, tag, body)...)), nil
}

// openToken returns the result set of a token. For an invalid token the error is
// errToken.
func (s *Service) openToken(ctx context.Context, token string) (resultSet, error) {
	secret, err := s.tokenSecret(ctx)
	if err != nil {
		return resultSet{}, err
	}
	// The decoder ignores line breaks, but the link self must not contain them.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < tagBytes || strings.ContainsAny(token, "\r\n") {
		return resultSet{}, errToken
	}
	tag := raw[:tagBytes]
	body := crypt(secret, tag, raw[tagBytes:])
	if !hmac.Equal(authTag(ctx, secret, body), tag) {
		return resultSet{}, errToken
	}
	results, expiry, err := unpack(body, s.Registry)
	if err != nil || uint64(fhir.InstantOf(s.Now()))/minute >= expiry {
		return resultSet{}, errToken
	}
	return results, nil
}

// tokenSecret returns the secret of the tokens. It reads the secret from the store once.
func (s *Service) tokenSecret(ctx context.Context) (_ []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == nil {
		s.secret, err = s.Store.Secret(ctx, PageSecret)
	}
	return s.secret, err
}

func authTag(ctx context.Context, secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	h.Write([]byte(auth.From(ctx).ID)) // unambiguous: the body contains its own length
	return h.Sum(nil)[:tagBytes]
}

// crypt encrypts or decrypts a body. Its key differs from that of the authentication tag.
func crypt(secret, tag, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("body"))               // no token body begins like this: the first byte is the format
	block, _ := aes.NewCipher(h.Sum(nil)) // never fails: the key has 32 bytes
	out := make([]byte, len(body))
	cipher.NewCTR(block, tag).XORKeyStream(out, body)
	return out
}

func (s resultSet) pack(expiry uint64) []byte {
	b := []byte{tokenFormat}
	add := func(n uint64) { b = binary.AppendUvarint(b, n) }
	add(expiry)
	add(uint64(s.resourceType))
	add(uint64(s.reaches))
	add(bit(s.hasMore, 1) | bit(s.visible.Active, 2) | bit(s.visible.NotSuppressed, 4))
	add(uint64(s.total + 1))
	add(uint64(slices.Index(summaries, s.summary)))
	add(uint64(len(s.elements)))
	for _, e := range s.elements {
		add(uint64(slices.Index(fhir.Elements(s.resourceType), e)))
	}
	add(uint64(len(s.includes)))
	for _, i := range s.includes {
		add(bit(i.Reverse, 1) | bit(i.Iterate, 2))
		add(uint64(i.Source))
		add(uint64(i.Param.ID))
		add(uint64(i.Target))
	}
	add(uint64(len(s.keys)))
	last, _ := store.KeyRange(s.resourceType)
	for _, key := range s.keys {
		b = binary.AppendVarint(b, int64(key-last))
		last = key
	}
	return b
}

func bit(set bool, value uint64) uint64 {
	if set {
		return value
	}
	return 0
}

var errMalformed = errors.New("malformed token")

// reader reads varints. After an error it returns zeros.
type reader struct {
	rest []byte
	err  error
}

func (u *reader) next() uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 {
		u.rest, u.err = nil, errMalformed
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

// length reads the length of a list. Each item takes at least one byte.
func (u *reader) length() int {
	n := u.next()
	if n > uint64(len(u.rest)) {
		u.err = errMalformed
		return 0
	}
	return int(n)
}

// unpack decodes what pack encoded. The authentication tag was verified before, so an
// error means a token of another version of muster.
func unpack(body []byte, reg *conformance.Registry) (s resultSet, expiry uint64, err error) {
	u := &reader{rest: body}
	if u.next() != tokenFormat {
		return resultSet{}, 0, errMalformed
	}
	expiry = u.next()
	s.resourceType = fhir.Type(u.next())
	s.reaches = fhir.TypeSet(u.next())
	flags := u.next()
	s.hasMore, s.visible = flags&1 != 0, plan.Visible{Active: flags&2 != 0, NotSuppressed: flags&4 != 0}
	s.total = int64(u.next()) - 1
	s.summary = readItem(u, summaries)
	for range u.length() {
		s.elements = append(s.elements, readItem(u, fhir.Elements(s.resourceType)))
	}
	for range u.length() {
		s.includes = append(s.includes, u.include(reg))
	}
	last, _ := store.KeyRange(s.resourceType)
	for range u.length() {
		difference, size := binary.Varint(u.rest)
		if size <= 0 {
			return resultSet{}, 0, errMalformed
		}
		u.rest = u.rest[size:]
		last += store.RowKey(difference)
		s.keys = append(s.keys, last)
	}
	return s, expiry, u.err
}

// readItem reads the index of an item in a list and returns the item.
func readItem[T any](u *reader, list []T) (item T) {
	n := u.next()
	if n >= uint64(len(list)) {
		u.err = errMalformed
		return item
	}
	return list[n]
}

func (u *reader) include(reg *conformance.Registry) search.Include {
	flags, source, param, target := u.next(), fhir.Type(u.next()), u.next(), fhir.Type(u.next())
	i := search.Include{Reverse: flags&1 != 0, Iterate: flags&2 != 0}
	for _, known := range reg.Includes(source) {
		if uint64(known.Param.ID) == param {
			i.Include = known
			i.Target = target
			return i
		}
	}
	u.err = errMalformed
	return i
}
