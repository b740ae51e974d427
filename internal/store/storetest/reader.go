package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// OpenReader opens a store as [OpenStore] does, with a deadline for every call of the
// reader; 0 is the default of the store.
type OpenReader func(t testing.TB, dir string, now func() time.Time, deadline time.Duration) store.Store

// Reader runs the suite of reads of current resources.
func Reader(t *testing.T, open OpenReader) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenReader)
	}{
		{"RowsKeepTheOrderOfKeys", testRows},
		{"LookupKeepsTheOrderOfIDs", testLookup},
		{"ReferencesOfOneParameter", testReferences},
		{"ReferrersOnceAndUpToTheLimit", testReferrers},
		{"BodiesAreCurrent", testBodies},
		{"ErrorOfYieldEndsTheReading", testBodiesError},
		{"DeadlineIsTooCostly", testReaderDeadline},
		{"CancelledContextIsNotTooCostly", testReaderCancelled},
		{"SecretsStay", testSecrets},
		{"SecretIsDrawnOnce", testSecretRace},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// readerTest is a store under test.
type readerTest struct {
	directory
	store store.Store
}

func newReaderTest(t *testing.T, open OpenReader) readerTest {
	t.Helper()
	c := newClock()
	s := open(t, t.TempDir(), c.now, 0)
	return readerTest{directory: directory{TB: t, Store: s, clock: c}, store: s}
}

// key returns the row key of a resource.
func (r readerTest) key(t fhir.Type, id string) store.RowKey {
	r.Helper()
	rows, err := r.store.Lookup(r.Context(), t, []string{id})
	r.must(err)
	if len(rows) != 1 {
		r.Fatalf("%d rows of %v/%s", len(rows), t, id)
	}
	return rows[0].Key
}

func (r readerTest) keys(t fhir.Type, ids ...string) (keys []store.RowKey) {
	r.Helper()
	for _, id := range ids {
		keys = append(keys, r.key(t, id))
	}
	return keys
}

func idsOf(rows []store.Row) (ids []string) {
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

func (r readerTest) want(what string, want, got any) {
	r.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func hidden(c store.Change) store.Change {
	c.Visibility = index.Suppressed
	return c
}

// refers returns an entry of a reference parameter.
func refers(param int, typeName, id string) index.Entry {
	return index.Entry{Kind: index.Reference, Param: param, System: typeName, Code: id}
}

func testRows(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	r.apply(put(fhir.Location, "a", "one"), hidden(put(fhir.Location, "b", "one")), put(fhir.Location, "c", "one"))
	keys := r.keys(fhir.Location, "c", "a", "b")
	r.clock.set(noon + 5000)
	r.apply(put(fhir.Location, "a", "two, longer"), remove(fhir.Location, "c"))
	rows, err := r.store.Rows(t.Context(), append(keys, store.Key(fhir.Location, 999)))
	r.must(err)
	r.want("the remaining rows", []string{"a", "b"}, idsOf(rows))
	a, b := rows[0], rows[1]
	if a.Key != keys[1] || a.Version != 2 || a.Committed < noon+5000 || a.LastUpdated != a.Committed || a.Visibility != 0 {
		t.Errorf("the row of a is %+v", a)
	}
	if b.Version != 1 || b.Visibility != index.Suppressed || b.Committed >= a.Committed {
		t.Errorf("the row of b is %+v", b)
	}
	if a.Size-b.Size != int64(len("two, longer")-len("one")) {
		t.Errorf("sizes %d and %d", a.Size, b.Size)
	}
	none, err := r.store.Rows(t.Context(), nil)
	r.must(err)
	if len(none) != 0 {
		t.Errorf("rows of no keys: %v", none)
	}
}

func testLookup(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	r.apply(put(fhir.Location, "a", "one"), hidden(put(fhir.Location, "b", "one")), put(fhir.Organization, "c", "one"), put(fhir.Location, "gone", "one"))
	r.apply(remove(fhir.Location, "gone"))
	rows, err := r.store.Lookup(t.Context(), fhir.Location, []string{"b", "none", "c", "gone", "a", `x"y`, "A"})
	r.must(err)
	r.want("ids", []string{"b", "a"}, idsOf(rows))
	if rows[0].Visibility != index.Suppressed || rows[1].Key.Type() != fhir.Location {
		t.Errorf("rows %+v", rows)
	}
}

func testReferences(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	r.apply(
		put(fhir.PractitionerRole, "a", "one", refers(4, "Location", "l2"), refers(4, "Location", "l1"), refers(5, "Organization", "o1")),
		put(fhir.PractitionerRole, "b", "one"),
		put(fhir.PractitionerRole, "c", "one", refers(4, "Location", "l1"), refers(4, "Patient", "p1"), refers(4, "Organization", "l1")),
	)
	keys := r.keys(fhir.PractitionerRole, "c", "b", "a")
	references, err := r.store.References(t.Context(), keys, 4)
	r.must(err)
	r.want("references", map[store.Reference]int{
		{From: keys[0], Type: fhir.Location, ID: "l1"}:     1,
		{From: keys[0], Type: fhir.Organization, ID: "l1"}: 1,
		{From: keys[2], Type: fhir.Location, ID: "l1"}:     1,
		{From: keys[2], Type: fhir.Location, ID: "l2"}:     1,
	}, counted(references))
	if len(references) == 4 && (references[0].From != keys[0] || references[1].From != keys[0]) {
		t.Errorf("the references are not in the order of the rows: %v", references)
	}
	none, err := r.store.References(t.Context(), keys, 6)
	r.must(err)
	if len(none) != 0 {
		t.Errorf("references of an unused parameter: %v", none)
	}
}

func counted[T comparable](list []T) map[T]int {
	counts := map[T]int{}
	for _, one := range list {
		counts[one]++
	}
	return counts
}

func testReferrers(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	var changes []store.Change
	for n := range 9 {
		changes = append(changes, put(fhir.PractitionerRole, fmt.Sprint("many-", n), "one", refers(4, "Location", "l1"), refers(4, "Location", "l2")))
	}
	r.apply(append(changes,
		hidden(put(fhir.PractitionerRole, "hidden", "one", refers(4, "Location", "l3"))),
		put(fhir.PractitionerRole, "other-type", "one", refers(4, "Organization", "l3")),
		put(fhir.PractitionerRole, "other-param", "one", refers(5, "Location", "l3")),
		put(fhir.HealthcareService, "service", "one", refers(4, "Location", "l3")),
	)...)
	find := func(limit int, ids ...string) []string {
		t.Helper()
		rows, err := r.store.Referrers(t.Context(), fhir.PractitionerRole, 4, fhir.Location, ids, limit)
		r.must(err)
		return idsOf(rows)
	}
	r.want("one of each, hidden too", []string{"hidden"}, find(10, "l3"))
	r.want("each once", []string{"many-0", "many-1", "many-2", "many-3", "many-4", "many-5", "many-6", "many-7", "many-8", "hidden"}, find(10, "l3", "l2", "l1"))
	r.want("up to the limit", []string{"many-0", "many-1"}, find(2, "l1", "l2"))
	r.want("exactly the limit", 9, len(find(9, "l1")))
	r.want("no referrer", []string(nil), find(5, "l4"))
	r.want("no ids", []string(nil), find(5))
}

func testBodies(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	r.apply(put(fhir.Location, "a", "one"), put(fhir.Location, "b", "one"), hidden(put(fhir.Location, "c", "one")), put(fhir.Organization, "d", "one"))
	keys := append(r.keys(fhir.Location, "c", "b", "a"), r.key(fhir.Organization, "d"))
	r.apply(put(fhir.Location, "a", "two"), remove(fhir.Location, "b"))
	var got []string
	r.must(r.store.Bodies(t.Context(), keys, func(row store.Row, line []byte) error {
		if row.Size != int64(len(line)+1) || bytes.HasSuffix(line, []byte("\n")) {
			t.Errorf("size %d of the line %q", row.Size, line)
		}
		resource := r.read(string(line))
		got = append(got, fmt.Sprintf("%s v%s/%d %s %d", resource.ID, resource.Meta.VersionID, row.Version, resource.Text, row.Visibility))
		return nil
	}))
	r.want("the current lines", []string{"c v1/1 one 2", "a v2/2 two 0", "d v1/1 one 0"}, got)
}

func testBodiesError(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	r.apply(put(fhir.Location, "a", "one"), put(fhir.Location, "b", "one"))
	stop, calls := errors.New("enough"), 0
	err := r.store.Bodies(t.Context(), r.keys(fhir.Location, "a", "b"), func(store.Row, []byte) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("the error after %d calls is %v", calls, err)
	}
}

// calls returns a call of each method of the reader.
func (r readerTest) calls() map[string]func(context.Context) error {
	keys, ids := []store.RowKey{store.Key(fhir.Location, 1)}, []string{"a"}
	return map[string]func(context.Context) error{
		"Rows":       func(ctx context.Context) error { _, err := r.store.Rows(ctx, keys); return err },
		"Lookup":     func(ctx context.Context) error { _, err := r.store.Lookup(ctx, fhir.Location, ids); return err },
		"References": func(ctx context.Context) error { _, err := r.store.References(ctx, keys, 4); return err },
		"Referrers": func(ctx context.Context) error {
			_, err := r.store.Referrers(ctx, fhir.Location, 4, fhir.Location, ids, 5)
			return err
		},
		"Bodies": func(ctx context.Context) error {
			return r.store.Bodies(ctx, keys, func(store.Row, []byte) error { return nil })
		},
	}
}

// testReaderDeadline uses a deadline that has passed before the first statement.
func testReaderDeadline(t *testing.T, open OpenReader) {
	c := newClock()
	r := readerTest{directory: directory{TB: t, clock: c}, store: open(t, t.TempDir(), c.now, 1)}
	for name, call := range r.calls() {
		if err := call(t.Context()); !errors.Is(err, store.ErrTooCostly) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testReaderCancelled(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range r.calls() {
		if err := call(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrTooCostly) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testSecrets(t *testing.T, open OpenReader) {
	dir, c := t.TempDir(), newClock()
	r := readerTest{directory: directory{TB: t}, store: open(t, dir, c.now, 0)}
	one, err := r.store.Secret(t.Context(), "one")
	r.must(err)
	again, err := r.store.Secret(t.Context(), "one")
	r.must(err)
	two, err := r.store.Secret(t.Context(), "two")
	r.must(err)
	other, err := open(t, dir, c.now, 0).Secret(t.Context(), "one")
	r.must(err)
	if len(one) != 32 || !bytes.Equal(one, again) || bytes.Equal(one, two) || !bytes.Equal(one, other) {
		t.Errorf("secret %x, again %x, in another process %x, other secret %x", one, again, other, two)
	}
}

func testSecretRace(t *testing.T, open OpenReader) {
	r := newReaderTest(t, open)
	secrets := make(chan string)
	for range 8 {
		go func() {
			secret, err := r.store.Secret(t.Context(), "one")
			if err != nil {
				t.Error(err)
			}
			secrets <- string(secret)
		}()
	}
	first := <-secrets
	for range 7 {
		if next := <-secrets; next != first {
			t.Errorf("two secrets: %x and %x", first, next)
		}
	}
}
