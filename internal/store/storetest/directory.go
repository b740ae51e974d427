package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// OpenStore opens the store in a folder with a clock. It creates the store if the folder
// is empty. Two calls for one folder simulate two processes. The store is closed at the
// end of the test.
type OpenStore func(t testing.TB, dir string, now func() time.Time) store.Store

// Directory runs the suite of the resource store. The driver must have these failpoints:
// directory.gate.waiting (the gate is not free), directory.apply.commit (before the
// commit of a batch), directory.snapshot.drawn and directory.snapshot.pinned (before and
// after pin).
func Directory(t *testing.T, open OpenStore) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenStore)
	}{
		{"VersionsCount", testVersions},
		{"SameSourceIsUnchanged", testUnchanged},
		{"RemovalLeavesNothingToFind", testRemoval},
		{"RecreationGetsANewKeyAndGoesOnCounting", testRecreation},
		{"OneBatchNeverHoldsTwoVersions", testTwiceInOneCall},
		{"RevisionsStartFromTheCurrentVersion", testRevisions},
		{"ForeignLastUpdatedIsKept", testLastUpdated},
		{"ClockNeverStepsBack", testClock},
		{"CountsByType", testCounts},
		{"LargeApplyKeepsTheOrder", testLargeApply},
		{"ApplyAllIsOneTransaction", testApplyAll},
		{"CancelledApplyReturnsWhatIsCommitted", testCancelledApply},
		{"SnapshotSeesOneInstant", testSnapshotIsolation},
		{"SnapshotListsRemovals", testRemovals},
		{"SnapshotWaitsForTheBatch", testSnapshotWaits},
		{"BatchWaitsForTheSnapshot", testBatchWaits},
		{"GateTakesTurns", testGateTurns},
		{"NodesWithSkewedClocksAgree", testSkewedNodes},
		{"FailedHolderLeavesTheGate", testFailedHolder},
		{"FailedPinOpensNothing", testFailedPin},
		{"InterruptedSelectionReturnsTheReason", testInterruptedSelection},
		{"OldVersionsStayForLiveJobs", testReadAsOf},
		{"NoLiveJobKeepsNoVersion", testNoHistory},
		{"VacuumDropsWhatNobodyNeeds", testVacuum},
		{"SweepForgetsOldRemovalsOnly", testSweep},
		{"SweepKeepsWhatLiveJobsNeed", testSweepForJobs},
		{"NoVersionIDComesTwice", testVersionIDs},
		{"LiveJobsReadWhatTheySelected", testRandomJobs},
		{"ChainedDeltasLoseNothing", testChainedDeltas},
		{"ReadAsOfKeepsTheOrderOfKeys", testReadOrder},
		{"EachCurrentYieldsAllOfAType", testEachCurrent},
		{"PresentKnowsHiddenAndNotRemoved", testPresent},
		{"ChangesAreLogged", testChangeLog},
		{"VersionsAreRecalled", testRecall},
		{"OldChangesAreSwept", testSweepLog},
		{"Compare", testCompare},
		{"LongLists", testLongLists},
		{"LargeSearches", testLargeSearches},
		{"LongTextsAreFound", testLongTexts},
		{"RandomPlansMatchTheNaiveEvaluator", testRandomPlans},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// clock is a clock for tests that is set manually.
type clock struct {
	mu sync.Mutex
	at fhir.Instant
}

func newClock() *clock { return &clock{at: noon} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Time()
}

func (c *clock) set(m fhir.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = m
}

// directory is a store under test. Its methods fail the test on errors.
type directory struct {
	testing.TB
	store.Store
	clock *clock
}

func newDirectory(t testing.TB, open OpenStore) directory {
	c := newClock()
	return directory{TB: t, Store: open(t, t.TempDir(), c.now), clock: c}
}

func (d directory) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// put returns the change that stores a resource with the text as its source.
func put(t fhir.Type, id, text string, entries ...index.Entry) store.Change {
	quoted, _ := json.Marshal(text) // a string can always be marshalled
	hash := fnv.New128a()
	_, _ = hash.Write([]byte(text))
	c := store.Change{Type: t, ID: id, Entries: entries, Document: store.Document{
		Head: fmt.Appendf(nil, `{"resourceType":"%v","id":"%s","meta":{`, t, id),
		Tail: fmt.Appendf(nil, `},"text":%s}`, quoted),
	}}
	copy(c.SourceHash[:], hash.Sum(nil))
	return c
}

func remove(t fhir.Type, id string) store.Change { return store.Change{Type: t, ID: id, Remove: true} }

func (d directory) apply(changes ...store.Change) []store.Outcome {
	d.Helper()
	outcomes, err := d.Apply(d.Context(), changes)
	d.must(err)
	return outcomes
}

func (d directory) wantApply(want store.Outcome, c store.Change) {
	d.Helper()
	if got := d.apply(c); len(got) != 1 || got[0] != want {
		d.Errorf("%v/%s: outcomes %v, want one %v", c.Type, c.ID, got, want)
	}
}

// noPin is the pin function of snapshots without a job.
func noPin(context.Context, fhir.Instant) error { return nil }

func (d directory) snapshot() store.Snapshot {
	d.Helper()
	s, err := d.OpenSnapshot(d.Context(), noPin)
	d.must(err)
	d.Cleanup(func() { _ = s.Close() })
	return s
}

// found is a row of a selection.
type found struct {
	Key  store.RowKey
	Size int64
}

// pick selects in a snapshot and checks the type and the order of the keys.
func (d directory) pick(s store.Snapshot, t fhir.Type, root plan.Node) []found {
	d.Helper()
	var rows []found
	d.must(s.Select(d.Context(), plan.Plan{Type: t, Root: root}, func(key store.RowKey, size int64) error {
		if key.Type() != t {
			d.Errorf("a key of %v in a selection of %v", key.Type(), t)
		}
		if n := len(rows); n > 0 && rows[n-1].Key >= key {
			d.Errorf("key %d comes after %d", key, rows[n-1].Key)
		}
		rows = append(rows, found{key, size})
		return nil
	}))
	return rows
}

// keys selects in a new snapshot.
func (d directory) keys(t fhir.Type, root plan.Node) (keys []store.RowKey) {
	d.Helper()
	s := d.snapshot()
	defer s.Close()
	return keysOf(d.pick(s, t, root))
}

func keysOf(rows []found) (keys []store.RowKey) {
	for _, r := range rows {
		keys = append(keys, r.Key)
	}
	return keys
}

// lines reads the keys as of t.
func (d directory) lines(keys []store.RowKey, t fhir.Instant) (lines []string) {
	d.Helper()
	d.must(d.ReadAsOf(d.Context(), keys, t, func(key store.RowKey, line []byte) error {
		if n := len(lines); key != keys[n] {
			d.Errorf("line %d has key %d, want %d", n, key, keys[n])
		}
		lines = append(lines, string(line))
		return nil
	}))
	if len(lines) != len(keys) {
		d.Errorf("%d lines for %d keys", len(lines), len(keys))
	}
	return lines
}

// resource is a parsed line.
type resource struct {
	ID   string
	Text string
	Meta struct {
		VersionID   string
		LastUpdated string
	}
}

func (d directory) read(line string) (r resource) {
	d.Helper()
	d.must(json.Unmarshal([]byte(line), &r))
	return r
}

// all reads every current resource of a type.
func (d directory) all(t fhir.Type) (rs []resource) {
	d.Helper()
	s := d.snapshot()
	defer s.Close()
	rows := d.pick(s, t, plan.And{})
	for i, line := range d.lines(keysOf(rows), s.Time()) {
		if int64(len(line)+1) != rows[i].Size {
			d.Errorf("size %d of the line %q", rows[i].Size, line)
		}
		rs = append(rs, d.read(line))
	}
	return rs
}

// wantAll compares the current resources of a type, formatted as "id v1 text".
func (d directory) wantAll(t fhir.Type, want ...string) {
	d.Helper()
	var got []string
	for _, r := range d.all(t) {
		got = append(got, r.ID+" v"+r.Meta.VersionID+" "+r.Text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.Errorf("%v: (-want +got)\n%s", t, diff)
	}
}

func testVersions(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.wantApply(store.Created, put(fhir.Location, "a", "one"))
	d.wantApply(store.Created, put(fhir.Location, "b", "one"))
	d.wantApply(store.Created, put(fhir.Organization, "a", "same id, other type"))
	d.wantApply(store.Updated, put(fhir.Location, "a", "two"))
	d.wantApply(store.Updated, put(fhir.Location, "a", "three"))
	d.wantAll(fhir.Location, "a v3 three", "b v1 one")
	d.wantAll(fhir.Organization, "a v1 same id, other type")
}

func testUnchanged(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.wantApply(store.Created, put(fhir.Location, "a", "one"))
	before := d.snapshot().Time()
	d.wantApply(store.Unchanged, put(fhir.Location, "a", "one"))
	d.wantAll(fhir.Location, "a v1 one")
	if keys := d.keys(fhir.Location, plan.Since{After: before}); len(keys) > 0 {
		t.Errorf("an unchanged resource is in the delta: %v", keys)
	}
}

func testRemoval(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	entries := everyKind("x")
	d.wantApply(store.Absent, remove(fhir.Location, "a"))
	d.wantApply(store.Created, put(fhir.Location, "a", "one", entries...))
	for _, root := range findEveryKind("x") {
		if len(d.keys(fhir.Location, root)) != 1 {
			t.Errorf("%#v does not find the resource", root)
		}
	}
	d.wantApply(store.Removed, remove(fhir.Location, "a"))
	d.wantApply(store.Absent, remove(fhir.Location, "a"))
	for _, root := range append(findEveryKind("x"), plan.And{}, plan.IDs{"a"}) {
		if len(d.keys(fhir.Location, root)) != 0 {
			t.Errorf("%#v finds a removed resource", root)
		}
	}
}

func testRecreation(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "a", "one"), put(fhir.Location, "b", "one"))
	d.apply(put(fhir.Location, "a", "two"))
	old := d.keys(fhir.Location, plan.IDs{"a"})
	d.apply(remove(fhir.Location, "a"))
	d.wantApply(store.Created, put(fhir.Location, "a", "two"))
	again := d.keys(fhir.Location, plan.IDs{"a"})
	if len(again) != 1 || again[0] <= old[0] {
		t.Errorf("keys %v after %v", again, old)
	}
	d.wantAll(fhir.Location, "b v1 one", "a v4 two") // v3 was the removal
}

func testTwiceInOneCall(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	got := d.apply(put(fhir.Location, "a", "one"), put(fhir.Location, "a", "two"), put(fhir.Location, "a", "two"),
		remove(fhir.Location, "a"), put(fhir.Location, "a", "three"), put(fhir.Organization, "a", "one"))
	want := []store.Outcome{store.Created, store.Updated, store.Unchanged, store.Removed, store.Created, store.Created}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got)\n%s", diff)
	}
	d.wantAll(fhir.Location, "a v4 three")
}

func testLastUpdated(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	c := put(fhir.Location, "kept", "one")
	c.LastUpdated = new(fhir.Instant(1000))
	epoch := put(fhir.Location, "kept too", "one")
	epoch.LastUpdated = new(fhir.Instant(0))
	d.apply(c, put(fhir.Location, "stamped", "one"), epoch)
	rs := d.all(fhir.Location)
	if rs[0].Meta.LastUpdated != "1970-01-01T00:00:01.000Z" || rs[1].Meta.LastUpdated != noon.String() {
		t.Errorf("lastUpdated %s and %s", rs[0].Meta.LastUpdated, rs[1].Meta.LastUpdated)
	}
	if got := rs[2].Meta.LastUpdated; got != "1970-01-01T00:00:00.000Z" {
		t.Errorf("lastUpdated %s, want the start of 1970 from the source", got)
	}
	equal := plan.Updated{Compare: plan.Comparison{Prefix: plan.EQ, Period: fhir.Period{From: 1000, To: 1001}}}
	if keys := d.keys(fhir.Location, equal); len(keys) != 1 {
		t.Errorf("_lastUpdated finds %d resources, want the one with that meta.lastUpdated", len(keys))
	}
	if keys := d.keys(fhir.Location, plan.Since{After: noon - 1}); len(keys) != 3 {
		t.Errorf("_since finds %d resources, want all, because they were committed now", len(keys))
	}
}

func testClock(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	times := []fhir.Instant{d.snapshot().Time()}
	for i, at := range []fhir.Instant{noon, noon - 3_600_000, noon + 50, noon - 1} {
		d.clock.set(at)
		d.apply(put(fhir.Location, fmt.Sprint(i), "one"))
		m, err := fhir.ParseInstant(d.all(fhir.Location)[i].Meta.LastUpdated)
		d.must(err)
		times = append(times, m, d.snapshot().Time())
	}
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			t.Errorf("time %d is %v, after %v", i, times[i], times[i-1])
		}
	}
}

func testCounts(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	hidden := put(fhir.Location, "c", "one")
	hidden.Visibility = index.Inactive | index.Suppressed
	d.apply(put(fhir.Location, "a", "one"), put(fhir.Location, "b", "one"), hidden, put(fhir.Endpoint, "a", "one"))
	got, err := d.Counts(t.Context())
	d.must(err)
	want := map[fhir.Type]store.Count{fhir.Location: {All: 3, Visible: 2}, fhir.Endpoint: {All: 1, Visible: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func testEachCurrent(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	hidden := put(fhir.Location, "hidden", "one")
	hidden.Visibility = index.Inactive | index.Suppressed
	changes := []store.Change{hidden, put(fhir.Endpoint, "other", "one")}
	want := []string{"hidden one"}
	for i := range 1500 { // a few pages, the last one full
		changes = append(changes, put(fhir.Location, fmt.Sprint("l", i), "one"))
		if i != 700 && i != 1499 {
			want = append(want, fmt.Sprint("l", i, " one"))
		}
	}
	d.apply(changes...)
	d.apply(put(fhir.Location, "l0", "two"), store.Change{Type: fhir.Location, ID: "l700", Remove: true}, store.Change{Type: fhir.Location, ID: "l1499", Remove: true})
	want[1] = "l0 two"
	var got []string
	d.must(d.EachCurrent(t.Context(), fhir.Location, func(held store.Held) error {
		r := d.read(string(held.Line))
		got = append(got, r.ID+" "+r.Text)
		if want := map[bool]index.Visibility{true: hidden.Visibility}[r.ID == "hidden"]; held.Own != want || held.Inherited != 0 {
			t.Errorf("%s has the states %v and %v, want %v of its own", r.ID, held.Own, held.Inherited, want)
		}
		return nil
	}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	enough := errors.New("enough")
	if err := d.EachCurrent(t.Context(), fhir.Location, func(store.Held) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v, want that of yield", err)
	}
	d.must(d.EachCurrent(t.Context(), fhir.Provenance, func(store.Held) error { return enough }))
}

func testPresent(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	hidden := put(fhir.Location, "hidden", "one")
	hidden.Visibility = index.Suppressed
	d.apply(hidden, put(fhir.Location, "a", "one"), put(fhir.Location, "gone", "one"), put(fhir.Endpoint, "other", "one"))
	d.apply(store.Change{Type: fhir.Location, ID: "gone", Remove: true})
	got, err := d.Present(t.Context(), fhir.Location, []string{"a", "hidden", "gone", "other", "never", "a"})
	d.must(err)
	if diff := cmp.Diff(map[string]bool{"a": true, "hidden": true}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	none, err := d.Present(t.Context(), fhir.Location, nil)
	d.must(err)
	if len(none) != 0 {
		t.Errorf("%v for no ids", none)
	}
}

func testLargeApply(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	var changes []store.Change
	for i := range 3000 {
		changes = append(changes, put(fhir.Types()[i%2], fmt.Sprint("r", i), "one", everyKind(fmt.Sprint("v", i%7))...))
	}
	for i, o := range d.apply(changes...) {
		if o != store.Created {
			t.Fatalf("outcome %d is %v", i, o)
		}
	}
	for i, r := range d.all(fhir.Types()[0]) {
		if want := fmt.Sprint("r", 2*i); r.ID != want {
			t.Fatalf("resource %d is %s, want %s", i, r.ID, want)
		}
	}
}

// testApplyAll checks that changes in one transaction are seen by no reader before the commit, that
// they have one commit time, and that none of them stays if the caller does not confirm them.
func testApplyAll(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "old", "one", everyKind("old")...), put(fhir.Location, "gone", "one"))
	changes := []store.Change{put(fhir.Location, "old", "two", everyKind("new")...), remove(fhir.Location, "gone"), remove(fhir.Location, "never")}
	want := []store.Outcome{store.Updated, store.Removed, store.Absent}
	for i := range 3000 { // more than a transaction of Apply takes at first
		changes, want = append(changes, put(fhir.Location, fmt.Sprint("r", i), "one", everyKind(fmt.Sprint("v", i%7))...)), append(want, store.Created)
	}
	found := func() (ids []string) {
		t.Helper()
		for _, root := range []plan.Node{plan.IDs{"old", "gone", "r0", "r2999"}, plan.Token{Param: 1, Code: new("new")}, plan.Token{Param: 1, Code: new("v1")}} {
			result, err := d.Search(t.Context(), store.Search{Plan: plan.Plan{Type: fhir.Location, Root: root}, Order: []plan.Order{{By: plan.ByID}}, Limit: 5, Total: -1})
			d.must(err)
			for _, row := range result.Rows {
				ids = append(ids, fmt.Sprint(row.ID, " ", row.Version))
			}
			ids = append(ids, fmt.Sprint(result.Total))
		}
		return ids
	}
	before := found()
	refused := errors.New("not confirmed")
	for _, answer := range []error{refused, nil} {
		outcomes, err := d.ApplyAll(t.Context(), changes, func(outcomes []store.Outcome) error {
			if diff := cmp.Diff(want, outcomes); diff != "" {
				t.Errorf("outcomes (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, found()); diff != "" {
				t.Errorf("before the commit (-want +got)\n%s", diff)
			}
			return answer
		})
		if !errors.Is(err, answer) || answer != nil && len(outcomes) > 0 || answer == nil && len(outcomes) != len(want) {
			t.Fatalf("%d outcomes, error %v, want %v", len(outcomes), err, answer)
		}
		if diff := cmp.Diff(before, found()); answer != nil && diff != "" {
			t.Errorf("after it was not confirmed (-want +got)\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"old 2", "r0 1", "r2999 1", "3", "old 2", "1", "r1 1", "r1002 1", "r1009 1", "r1016 1", "r1023 1", "429"}, found()); diff != "" {
		t.Errorf("after the commit (-want +got)\n%s", diff)
	}
	times := map[string]bool{}
	for _, r := range d.all(fhir.Location) {
		times[r.Meta.LastUpdated] = true
	}
	if len(times) != 1 {
		t.Errorf("%d times, want one", len(times))
	}
	if _, err := d.ApplyAll(t.Context(), []store.Change{put(fhir.Location, "a", "one"), remove(fhir.Location, "a")}, func([]store.Outcome) error { return nil }); err == nil {
		t.Error("two changes of one resource were applied")
	}
	if _, err := d.ApplyAll(t.Context(), nil, func([]store.Outcome) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("no changes: error %v", err)
	}
}

func testCancelledApply(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	outcomes, err := d.Apply(ctx, []store.Change{put(fhir.Location, "a", "one")})
	if err == nil || len(outcomes) != 0 {
		t.Errorf("outcomes %v, error %v; want none and an error", outcomes, err)
	}
	d.wantAll(fhir.Location)
}

// everyKind returns one entry of each kind with the word as its value.
func everyKind(word string) []index.Entry {
	return []index.Entry{
		{Kind: index.Token, Param: 1, System: "http://system", Code: word},
		{Kind: index.String, Param: 2, Norm: index.Fold(word), Exact: word},
		{Kind: index.Date, Param: 3, Period: fhir.Period{From: 10, To: 20}},
		{Kind: index.Reference, Param: 4, System: "Organization", Code: word},
		{Kind: index.URI, Param: 5, Code: word},
	}
}

// findEveryKind returns plans that match the entries of everyKind.
func findEveryKind(word string) []plan.Node {
	system := "http://system"
	return []plan.Node{
		plan.Token{Param: 1, System: &system, Code: &word},
		plan.String{Param: 2, Text: index.Fold(word)},
		plan.Date{Param: 3, Compare: plan.Comparison{Prefix: plan.EQ, Period: fhir.Period{From: 10, To: 20}}},
		plan.Reference{Param: 4, Type: "Organization", ID: word},
		plan.URI{Param: 5, Value: word},
		plan.Present{Param: 5, Kind: index.URI},
	}
}
