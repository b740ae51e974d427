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

// A token is a set in base64url without padding: [sealBytes] of the HMAC-SHA-256 of a
// body under the secret of the directory, and the body encrypted with AES in counter
// mode that begins at the seal. The HMAC covers the principal of the search too, so that
// a token is worth nothing to another client; the encryption is there because the row
// keys in a body would tell by their gaps how many resources the directory hides. The
// body holds unsigned varints:
//
//	format            tokenFormat
//	expiry            minutes since 1970
//	type              fhir.Type
//	flags             1 more, 2 visible.Active, 4 visible.NotSuppressed
//	total+1           0 without a total
//	summary           place in summaries
//	elements          number, then the place of each in fhir.Elements
//	includes          number, then of each flags (1 reverse, 2 iterate), source, parameter id, target
//	keys              number, then the sequence of each as a signed difference to the one before
//
// Row keys of one type lie close together: 150 of a national directory in no order at
// all take about 600 bytes.

const (
	tokenFormat = 1
	sealBytes   = 16
	minute      = 60_000 // ms
)

var summaries = []search.Summary{search.SummaryFalse, search.SummaryTrue, search.SummaryText, search.SummaryData, search.SummaryCount}

// errToken is the one answer to every token that cannot be used.
var errToken = fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "There is no such page any more: its link has expired, or was not made for you. Search again."}

// token packs a set until it expires.
func (s *Service) token(ctx context.Context, one set) (string, error) {
	secret, err := s.tokenSecret(ctx)
	if err != nil {
		return "", err
	}
	expiry := fhir.InstantOf(s.Now().Add(s.PageLife))
	body := one.pack(uint64(expiry+minute-1) / minute)
	mark := seal(ctx, secret, body)
	return base64.RawURLEncoding.EncodeToString(append(mark, crypt(secret, mark, body)...)), nil
}

// open unpacks a token. Whatever is wrong with it is errToken.
func (s *Service) open(ctx context.Context, token string) (set, error) {
	secret, err := s.tokenSecret(ctx)
	if err != nil {
		return set{}, err
	}
	// The decoder skips line breaks, which have no place in the link self of the page.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sealBytes || strings.ContainsAny(token, "\r\n") {
		return set{}, errToken
	}
	mark := raw[:sealBytes]
	body := crypt(secret, mark, raw[sealBytes:])
	if !hmac.Equal(seal(ctx, secret, body), mark) {
		return set{}, errToken
	}
	one, expiry, err := unpack(body, s.Registry)
	if err != nil || uint64(fhir.InstantOf(s.Now()))/minute >= expiry {
		return set{}, errToken
	}
	return one, nil
}

// tokenSecret reads the secret of the tokens, once.
func (s *Service) tokenSecret(ctx context.Context) (_ []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == nil {
		s.secret, err = s.Store.Secret(ctx, "pages")
	}
	return s.secret, err
}

func seal(ctx context.Context, secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	h.Write([]byte(auth.From(ctx).ID)) // the length of the body is within it
	return h.Sum(nil)[:sealBytes]
}

// crypt encrypts a body, or decrypts it. The key is not that of the seal.
func crypt(secret, mark, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("body"))               // no body of a token: those begin with their format
	block, _ := aes.NewCipher(h.Sum(nil)) // 32 bytes are a key
	out := make([]byte, len(body))
	cipher.NewCTR(block, mark).XORKeyStream(out, body)
	return out
}

func (s set) pack(expiry uint64) []byte {
	b := []byte{tokenFormat}
	add := func(n uint64) { b = binary.AppendUvarint(b, n) }
	add(expiry)
	add(uint64(s.typ))
	add(bit(s.more, 1) | bit(s.visible.Active, 2) | bit(s.visible.NotSuppressed, 4))
	add(uint64(s.total + 1))
	add(uint64(slices.Index(summaries, s.summary)))
	add(uint64(len(s.elements)))
	for _, e := range s.elements {
		add(uint64(slices.Index(fhir.Elements(s.typ), e)))
	}
	add(uint64(len(s.includes)))
	for _, i := range s.includes {
		add(bit(i.Reverse, 1) | bit(i.Iterate, 2))
		add(uint64(i.Source))
		add(uint64(i.Param.ID))
		add(uint64(i.Target))
	}
	add(uint64(len(s.keys)))
	last, _ := store.KeyRange(s.typ)
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

var errShort = errors.New("the token ends too early or names what is not there")

// unpacker reads varints; after the first mistake it reads zeros.
type unpacker struct {
	rest []byte
	err  error
}

func (u *unpacker) next() uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 {
		u.rest, u.err = nil, errShort
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

// length reads the length of a list, whose items take a byte at least.
func (u *unpacker) length() int {
	n := u.next()
	if n > uint64(len(u.rest)) {
		u.err = errShort
		return 0
	}
	return int(n)
}

// unpack reads what pack has written. The seal has been checked, so what does not fit
// here is a token of another version of the program.
func unpack(body []byte, reg *conformance.Registry) (s set, expiry uint64, err error) {
	u := &unpacker{rest: body}
	if u.next() != tokenFormat {
		return set{}, 0, errShort
	}
	expiry = u.next()
	s.typ = fhir.Type(u.next())
	flags := u.next()
	s.more, s.visible = flags&1 != 0, plan.Visible{Active: flags&2 != 0, NotSuppressed: flags&4 != 0}
	s.total = int64(u.next()) - 1
	s.summary = pick(u, summaries)
	for range u.length() {
		s.elements = append(s.elements, pick(u, fhir.Elements(s.typ)))
	}
	for range u.length() {
		s.includes = append(s.includes, u.include(reg))
	}
	last, _ := store.KeyRange(s.typ)
	for range u.length() {
		step, size := binary.Varint(u.rest)
		if size <= 0 {
			return set{}, 0, errShort
		}
		u.rest = u.rest[size:]
		last += store.RowKey(step)
		s.keys = append(s.keys, last)
	}
	return s, expiry, u.err
}

// pick reads the place of an item in a list.
func pick[T any](u *unpacker, list []T) (item T) {
	n := u.next()
	if n >= uint64(len(list)) {
		u.err = errShort
		return item
	}
	return list[n]
}

func (u *unpacker) include(reg *conformance.Registry) search.Include {
	flags, source, param, target := u.next(), fhir.Type(u.next()), u.next(), fhir.Type(u.next())
	i := search.Include{Reverse: flags&1 != 0, Iterate: flags&2 != 0}
	for _, known := range reg.Includes(source) {
		if uint64(known.Param.ID) == param {
			i.Include = known
			i.Target = target
			return i
		}
	}
	u.err = errShort
	return i
}
