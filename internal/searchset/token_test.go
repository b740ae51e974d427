package searchset

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func loadRegistry(t testing.TB) *conformance.Registry {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// TestPackRoundTrip packs random result sets and unpacks them.
func TestPackRoundTrip(t *testing.T) {
	reg := loadRegistry(t)
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(fhir.Types()).Draw(t, "type")
		_, last := store.KeyRange(typ)
		want := resultSet{
			resourceType: typ, hasMore: rapid.Bool().Draw(t, "more"), total: rapid.Int64Range(-1, 1<<40).Draw(t, "total"),
			visible:  plan.Visible{Active: rapid.Bool().Draw(t, "active"), NotSuppressed: rapid.Bool().Draw(t, "not suppressed")},
			summary:  rapid.SampledFrom(summaries).Draw(t, "summary"),
			elements: rapid.SliceOfN(rapid.SampledFrom(fhir.Elements(typ)), 0, 5).Draw(t, "elements"),
		}
		for range rapid.IntRange(0, MaxMatches).Draw(t, "keys") {
			want.keys = append(want.keys, store.Key(typ, rapid.Int64Range(1, int64(last)&(1<<40-1)).Draw(t, "sequence")))
		}
		for range rapid.IntRange(0, 5).Draw(t, "includes") {
			i := search.Include{Include: rapid.SampledFrom(reg.RevIncludes(fhir.Organization)).Draw(t, "include"), Reverse: rapid.Bool().Draw(t, "reverse"), Iterate: rapid.Bool().Draw(t, "iterate")}
			i.Target = rapid.SampledFrom([]fhir.Type{0, fhir.Organization}).Draw(t, "target")
			want.includes = append(want.includes, i)
		}
		expiry := rapid.Uint64Range(0, 1<<40).Draw(t, "expiry")
		packed := want.pack(expiry)
		got, at, err := unpack(packed, reg)
		if err != nil || at != expiry {
			t.Fatalf("unpacked with %v, expiry %d, want %d", err, at, expiry)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(resultSet{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		for n := range packed {
			if _, _, err := unpack(packed[:n], reg); err == nil {
				t.Fatalf("%d of %d bytes were unpacked without an error", n, len(packed))
			}
		}
	})
}

// TestTokenIsEncrypted checks that a token does not contain the packed keys of its result
// set: gaps between them would reveal how many resources are hidden.
func TestTokenIsEncrypted(t *testing.T) {
	s := newTestService(t)
	results := resultSet{resourceType: fhir.Location, total: -1}
	for n := range int64(60) {
		results.keys = append(results.keys, store.Key(fhir.Location, 1+3*n))
	}
	token, err := s.newToken(t.Context(), results)
	s.must(err)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	s.must(err)
	if packed := results.pack(0); bytes.Contains(raw, packed[len(packed)-40:]) {
		t.Errorf("the token contains the unencrypted keys: %q", raw)
	}
	if opened, err := s.Service.openToken(t.Context(), token); err != nil || !slices.Equal(opened.keys, results.keys) {
		t.Errorf("openToken returned keys %v, %v", opened.keys, err)
	}
}

// TestLinksAreShort checks the length of a link in a national directory: 150 unsorted
// resources of five million, with elements and includes. Some clients and proxies accept
// no more than about 2,000 characters.
func TestLinksAreShort(t *testing.T) {
	s := newTestService(t)
	results := resultSet{resourceType: fhir.PractitionerRole, hasMore: true, total: 5_000_000, elements: fhir.Elements(fhir.PractitionerRole)[:8]}
	random := rand.New(rand.NewPCG(1, 2))
	for range MaxMatches {
		results.keys = append(results.keys, store.Key(fhir.PractitionerRole, 1+random.Int64N(5_000_000)))
	}
	for _, i := range s.Registry.Includes(fhir.PractitionerRole) {
		results.includes = append(results.includes, search.Include{Include: i}, search.Include{Include: i, Iterate: true})
	}
	token, err := s.newToken(t.Context(), results)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.pageURL(token, 120, 30, true)); n > 1200 {
		t.Errorf("a link has %d characters", n)
	}
}

func FuzzUnpack(f *testing.F) {
	reg := loadRegistry(f)
	f.Add(resultSet{resourceType: fhir.Location, total: 3, keys: []store.RowKey{store.Key(fhir.Location, 1)}}.pack(1))
	f.Add([]byte{tokenFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _, _ = unpack(body, reg)
	})
}
