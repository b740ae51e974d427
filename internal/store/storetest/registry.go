package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"muster/internal/auth"
	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// Registry runs the suite of the registry of clients, keys and used tokens. open returns two stores
// on one directory, as of two servers or of a server and a command.
func Registry(t *testing.T, open func(t *testing.T) (one, other store.Registry)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, registryTest)
	}{
		{"ClientsAreShared", testClients},
		{"ClientsAreReplaced", testReplaceClient},
		{"ClientsAreDisabled", testDisableClient},
		{"UnknownClients", testNoClient},
		{"ConcurrentRegistrations", testAddClientRace},
		{"SigningKeysAreShared", testSigningKeys},
		{"SigningKeyIsMadeOnce", testSigningKeyRace},
		{"TokenIsUsedOnce", testUseToken},
		{"RacersUseTokenOnce", testUseTokenRace},
		{"ForgottenTokensStayUsed", testForgottenTokens},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, other := open(t)
			c.test(t, registryTest{one, other})
		})
	}
}

type registryTest struct{ one, other store.Registry }

// aClient is a client with all fields.
func aClient(id string) store.RegisteredClient {
	return store.RegisteredClient{
		ID: id, Name: "Klinik “Süd”", JWKS: []byte(`{"keys":[]}`), Scopes: []string{"search", "system/*.rs"}, Types: fhir.TypesOf(fhir.Organization, fhir.Provenance),
		Policy:  auth.Policy{Rate: 2.5, Jobs: 3, Downloads: 4, HideSuppressed: true, DeltasOnly: true},
		Created: noon, Changed: noon + 1,
	}
}

// want checks what both stores have.
func (r registryTest) want(t *testing.T, want ...store.RegisteredClient) {
	t.Helper()
	for n, s := range []store.Registry{r.one, r.other} {
		all, err := s.RegisteredClients(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("the clients of store %d: %s", n+1, diff)
		}
		for _, c := range want {
			if got, err := s.RegisteredClient(t.Context(), c.ID); err != nil || !cmp.Equal(got, c) {
				t.Errorf("client %s of store %d: %+v, %v", c.ID, n+1, got, err)
			}
		}
	}
}

func testClients(t *testing.T, r registryTest) {
	r.want(t)
	plain := store.RegisteredClient{ID: "a", JWKSURL: "https://client.example.org/jwks", Scopes: []string{"export"}, Types: fhir.AllTypes(), Created: noon, Changed: noon}
	for _, c := range []store.RegisteredClient{aClient("b"), plain} {
		if err := r.one.AddClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	r.want(t, plain, aClient("b"))
	for _, s := range []store.Registry{r.one, r.other} {
		if err := s.AddClient(t.Context(), plain); !errors.Is(err, store.ErrClientExists) {
			t.Errorf("added twice: %v", err)
		}
	}
	if err := r.other.RemoveClient(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	r.want(t, plain)
}

func testReplaceClient(t *testing.T, r registryTest) {
	for _, id := range []string{"a", "b"} {
		if err := r.one.AddClient(t.Context(), aClient(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.one.DisableClient(t.Context(), "b", true, noon+2); err != nil {
		t.Fatal(err)
	}
	changed := store.RegisteredClient{ID: "b", JWKSURL: "https://client.example.org/jwks", Scopes: []string{"read"}, Types: fhir.AllTypes(), Created: noon + 5, Changed: noon + 5}
	if err := r.other.ReplaceClient(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	changed.Created, changed.Disabled = noon, true
	r.want(t, aClient("a"), changed)
}

func testDisableClient(t *testing.T, r registryTest) {
	c := aClient("a")
	if err := r.one.AddClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for n, disabled := range []bool{true, false, true} {
		at := noon + fhir.Instant(10*n)
		for range 2 { // the second time changes nothing
			if err := r.other.DisableClient(t.Context(), "a", disabled, at); err != nil {
				t.Fatal(err)
			}
			c.Disabled, c.Changed = disabled, noon+fhir.Instant(10*n)
			r.want(t, c)
			at++
		}
	}
}

func testNoClient(t *testing.T, r registryTest) {
	for _, id := range []string{"missing", ""} { // PostgreSQL has a row with an empty id
		c := aClient(id)
		_, read := r.one.RegisteredClient(t.Context(), id)
		for how, err := range map[string]error{
			"read": read, "replace": r.one.ReplaceClient(t.Context(), c), "remove": r.one.RemoveClient(t.Context(), id),
			"disable": r.one.DisableClient(t.Context(), id, true, noon),
		} {
			if !errors.Is(err, store.ErrNoClient) {
				t.Errorf("%s %q: %v", how, id, err)
			}
		}
	}
	r.want(t)
}

// race calls f for both stores at the same time, several times, and returns the errors.
func (r registryTest) race(times int, f func(n int, s store.Registry) error) []error {
	errs := make([]error, times)
	var all sync.WaitGroup
	for n := range times {
		all.Go(func() { errs[n] = f(n, []store.Registry{r.one, r.other}[n%2]) })
	}
	all.Wait()
	return errs
}

// wantOne checks that one racer had no error, and the others had an expected one.
func wantOne(t *testing.T, errs []error, expected error) {
	t.Helper()
	successes := 0
	for _, err := range errs {
		if err == nil {
			successes++
		} else if !errors.Is(err, expected) {
			t.Error(err)
		}
	}
	if successes != 1 {
		t.Errorf("%d of %d succeeded", successes, len(errs))
	}
}

func testAddClientRace(t *testing.T, r registryTest) {
	errs := r.race(8, func(n int, s store.Registry) error {
		c := aClient("a")
		c.Name = fmt.Sprint(n)
		return s.AddClient(t.Context(), c)
	})
	wantOne(t, errs, store.ErrClientExists)
	if all, err := r.one.RegisteredClients(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func aKey(number int64) store.SigningKey {
	at := noon + fhir.Instant(number)*lease
	return store.SigningKey{Number: number, ID: fmt.Sprint("key", number), Private: []byte{1, byte(number)}, Created: at, From: at + 5, Until: at + 2*lease}
}

func (r registryTest) wantKeys(t *testing.T, want ...store.SigningKey) {
	t.Helper()
	for n, s := range []store.Registry{r.one, r.other} {
		if got, err := s.SigningKeys(t.Context()); err != nil || !cmp.Equal(want, got) {
			t.Errorf("the keys of store %d: %v, %v", n+1, err, cmp.Diff(want, got))
		}
	}
}

func testSigningKeys(t *testing.T, r registryTest) {
	r.wantKeys(t)
	if err := r.one.AddSigningKey(t.Context(), aKey(1), noon); err != nil {
		t.Fatal(err)
	}
	r.wantKeys(t, aKey(1))
	second := aKey(2)
	if err := r.other.AddSigningKey(t.Context(), second, aKey(1).Until); err != nil { // the first still verifies
		t.Fatal(err)
	}
	r.wantKeys(t, aKey(1), second)
	if err := r.one.AddSigningKey(t.Context(), aKey(3), aKey(1).Until+1); err != nil {
		t.Fatal(err)
	}
	r.wantKeys(t, second, aKey(3))
	// The last key is kept, even if its time is over.
	if err := r.one.AddSigningKey(t.Context(), aKey(3), aKey(3).Until+1); err != nil {
		t.Fatal(err)
	}
	r.wantKeys(t, aKey(3))
}

func testSigningKeyRace(t *testing.T, r registryTest) {
	for _, err := range r.race(8, func(n int, s store.Registry) error {
		k := aKey(1)
		k.ID = fmt.Sprint(n)
		return s.AddSigningKey(t.Context(), k, noon)
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	one, err := r.one.SigningKeys(t.Context())
	if err != nil || len(one) != 1 {
		t.Fatal(one, err)
	}
	r.wantKeys(t, one...)
}

func testUseToken(t *testing.T, r registryTest) {
	t.Attr("requirements", "JW-08 JW-11")
	for _, token := range []store.TokenHash{store.HashToken("client", "1"), store.HashToken("client", "2"), store.HashToken("clien", "t1"), {}} {
		if err := r.one.UseToken(t.Context(), token, expires, noon); err != nil {
			t.Errorf("the first use: %v", err)
		}
		for _, s := range []store.Registry{r.one, r.other} {
			if err := s.UseToken(t.Context(), token, expires+1, noon+1); !errors.Is(err, store.ErrTokenUsed) {
				t.Errorf("another use: %v", err)
			}
		}
	}
}

func testUseTokenRace(t *testing.T, r registryTest) {
	for n := range 5 {
		token := store.HashToken("client", fmt.Sprint(n))
		wantOne(t, r.race(8, func(_ int, s store.Registry) error { return s.UseToken(t.Context(), token, expires, noon) }), store.ErrTokenUsed)
	}
}

// testForgottenTokens: tokens are forgotten an hour after their end, and a clock that is set back
// does not make them new.
func testForgottenTokens(t *testing.T, r registryTest) {
	const hour = 3_600_000
	use := func(name string, until, now fhir.Instant, want error) {
		t.Helper()
		if err := r.one.UseToken(t.Context(), store.HashToken("client", name), until, now); !errors.Is(err, want) {
			t.Errorf("token %s until %d at %d: %v, want %v", name, until-noon, now-noon, err, want)
		}
	}
	use("first", noon, noon, nil)
	use("second", noon+hour, noon, nil)
	use("third", noon+2*hour, noon+2*hour, nil) // nothing is forgotten yet
	use("first", noon, noon, store.ErrTokenUsed)
	use("fourth", noon+3*hour, noon+2*hour+1, nil)      // forgets the first and the second
	use("first", noon, noon, store.ErrTokenUsed)        // too old
	use("fifth", noon+hour, noon, store.ErrTokenUsed)   // older than the forgotten
	use("sixth", noon+hour+2, noon, nil)                // newer
	use("third", noon+2*hour, noon, store.ErrTokenUsed) // not forgotten
	use("fourth", noon+3*hour, noon, store.ErrTokenUsed)
}

// DamagedClient checks that a registration that something else has changed is neither used nor kept
// for good (RG-04). run runs a statement on the database.
func DamagedClient(t *testing.T, s store.Registry, run func(statement string)) {
	t.Attr("requirements", "RG-04")
	for _, id := range []string{"a", "b", "c"} {
		if err := s.AddClient(t.Context(), aClient(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range []string{
		`UPDATE registered_client SET document = (SELECT document FROM registered_client WHERE id = 'b'), seal = (SELECT seal FROM registered_client WHERE id = 'b') WHERE id = 'a'`,
		`UPDATE registered_client SET document = substr(document, 1, 20) WHERE id = 'a'`,
		`UPDATE registered_client SET seal = document WHERE id = 'a'`,
	} {
		run(statement)
		_, one := s.RegisteredClient(t.Context(), "a")
		_, all := s.RegisteredClients(t.Context())
		for _, err := range []error{one, all, s.DisableClient(t.Context(), "a", false, noon)} {
			if _, ok := damage.KindOf(err); !ok {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if c, err := s.RegisteredClient(t.Context(), "c"); err != nil || !cmp.Equal(c, aClient("c")) {
			t.Errorf("another client: %+v, %v", c, err)
		}
		if err := s.ReplaceClient(t.Context(), aClient("a")); err != nil {
			t.Fatal(err)
		}
		if c, err := s.RegisteredClient(t.Context(), "a"); err != nil || !cmp.Equal(c, aClient("a")) {
			t.Errorf("a client that was replaced: %+v, %v", c, err)
		}
	}
	run(`UPDATE registered_client SET seal = document WHERE id = 'a'`)
	if err := s.RemoveClient(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
