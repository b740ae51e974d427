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

func registry(t testing.TB) *conformance.Registry {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// TestTokenHoldsTheSet packs random sets and unpacks them.
func TestTokenHoldsTheSet(t *testing.T) {
	reg := registry(t)
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(fhir.Types()).Draw(t, "type")
		_, last := store.KeyRange(typ)
		want := set{
			typ: typ, more: rapid.Bool().Draw(t, "more"), total: rapid.Int64Range(-1, 1<<40).Draw(t, "total"),
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
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(set{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		for n := range packed {
			if _, _, err := unpack(packed[:n], reg); err == nil {
				t.Fatalf("%d of %d bytes were read as a set", n, len(packed))
			}
		}
	})
}

// TestTokenTellsNothing looks for the keys of a set in its token: gaps between them
// would tell how many resources are hidden.
func TestTokenTellsNothing(t *testing.T) {
	s := newServed(t)
	one := set{typ: fhir.Location, total: -1}
	for n := range int64(60) {
		one.keys = append(one.keys, store.Key(fhir.Location, 1+3*n))
	}
	token, err := s.token(t.Context(), one)
	s.must(err)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	s.must(err)
	if packed := one.pack(0); bytes.Contains(raw, packed[len(packed)-40:]) {
		t.Errorf("the token has the keys in the open: %q", raw)
	}
	if back, err := s.Service.open(t.Context(), token); err != nil || !slices.Equal(back.keys, one.keys) {
		t.Errorf("opened: %v, %v", back.keys, err)
	}
}

// TestLinksAreShort measures the links of a national directory: 150 of five million
// resources in no order, with elements and includes. Some clients and proxies take
// no more than about 2,000 characters.
func TestLinksAreShort(t *testing.T) {
	s := newServed(t)
	one := set{typ: fhir.PractitionerRole, more: true, total: 5_000_000, elements: fhir.Elements(fhir.PractitionerRole)[:8]}
	random := rand.New(rand.NewPCG(1, 2))
	for range MaxMatches {
		one.keys = append(one.keys, store.Key(fhir.PractitionerRole, 1+random.Int64N(5_000_000)))
	}
	for _, i := range s.Registry.Includes(fhir.PractitionerRole) {
		one.includes = append(one.includes, search.Include{Include: i}, search.Include{Include: i, Iterate: true})
	}
	token, err := s.token(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.pageURL(token, 120, 30, true)); n > 1200 {
		t.Errorf("a link has %d characters", n)
	}
}

func FuzzUnpack(f *testing.F) {
	reg := registry(f)
	f.Add(set{typ: fhir.Location, total: 3, keys: []store.RowKey{store.Key(fhir.Location, 1)}}.pack(1))
	f.Add([]byte{tokenFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _, _ = unpack(body, reg)
	})
}
