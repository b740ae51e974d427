package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// IndexerStore is a store that can rebuild its index.
type IndexerStore interface {
	store.Store
	store.Indexer
	Info() store.Identity
}

// OpenIndexer opens a store as [OpenStore] does. An existing store must have the given
// definitions; empty accepts any.
type OpenIndexer func(t testing.TB, dir, definitions string, now func() time.Time) (IndexerStore, error)

// Indexer runs the suite of rebuilding the index. The driver must have the failpoints
// directory.reindex.begin, .commit and .committed.
func Indexer(t *testing.T, open OpenIndexer) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenIndexer)
	}{
		{"NewEntriesAndNothingElse", testReindex},
		{"InterruptedReindexResumes", testReindexInterrupted},
		{"OtherDefinitionsRestart", testReindexOther},
		{"CleaningWritesNewVersions", testReindexCleans},
		{"OpenWritersAreRefused", testReindexWriters},
		{"MovesToAnotherBaseURL", testReindexMoves},
		{"ErrorOfExtractNamesTheResource", testReindexError},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// indexerTest is a directory under test that is filled with resources.
type indexerTest struct {
	directory
	store IndexerStore
	dir   string
	open  OpenIndexer
}

const indexedResources = 1500

func newIndexerTest(t *testing.T, open OpenIndexer) *indexerTest {
	t.Helper()
	c, dir := newClock(), t.TempDir()
	s, err := open(t, dir, "", c.now)
	if err != nil {
		t.Fatal(err)
	}
	d := &indexerTest{directory: directory{TB: t, Store: s, clock: c}, store: s, dir: dir, open: open}
	var changes []store.Change
	for n := range indexedResources {
		rt := fhir.Types()[n%3]
		changes = append(changes, put(rt, fmt.Sprint("r", n), fmt.Sprint("text ", n),
			index.Entry{Kind: index.Token, Param: 1, System: "old", Code: fmt.Sprint(n)},
			index.Entry{Kind: index.String, Param: 2, Norm: "both", Exact: "both"}))
	}
	d.apply(changes...)
	d.apply(put(fhir.Organization, "r0", "text again"), remove(fhir.Organization, "r3"))
	return d
}

// newEntries extracts the entries of the new definitions: a token of another parameter,
// the same string as before, and a date.
func newEntries(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
	var r struct{ ID, Text string }
	if err := json.Unmarshal(line, &r); err != nil {
		return dst, nil, err
	}
	return append(dst,
		index.Entry{Kind: index.Token, Param: 5, System: "new", Code: r.Text},
		index.Entry{Kind: index.String, Param: 2, Norm: "both", Exact: "both"},
		index.Entry{Kind: index.Date, Param: 6, Period: fhir.Period{From: 1, To: 2}}), nil, nil
}

// slowNewEntries is newEntries with a delay, so that the resources need several batches.
func slowNewEntries(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
	time.Sleep(200 * time.Microsecond)
	return newEntries(dst, t, line)
}

// state returns the contents of the directory except for its index.
func (d *indexerTest) state() (all []string) {
	d.Helper()
	for _, t := range fhir.Types() {
		d.must(d.EachCurrent(d.Context(), t, func(held store.Held) error {
			all = append(all, string(held.Line))
			return nil
		}))
	}
	counts, err := d.Counts(d.Context())
	d.must(err)
	return append(all, fmt.Sprint(counts))
}

// wantIndexed checks that every resource is found by its new entries and not by its old
// ones.
func (d *indexerTest) wantIndexed() {
	d.Helper()
	code := "text 4"
	if got := d.keys(fhir.Location, plan.Token{Param: 5, Code: &code}); len(got) != 1 {
		d.Errorf("the new entry of one resource finds %v", got)
	}
	for _, t := range fhir.Types()[:3] {
		all := d.keys(t, plan.And{})
		for _, node := range []plan.Node{
			plan.Present{Param: 5, Kind: index.Token}, plan.Present{Param: 2, Kind: index.String},
			plan.Present{Param: 6, Kind: index.Date}, plan.String{Param: 2, Text: "bot"},
		} {
			if diff := cmp.Diff(all, d.keys(t, node)); diff != "" {
				d.Errorf("%v: %v does not find all resources:\n%s", t, node, diff)
			}
		}
		if got := d.keys(t, plan.Present{Param: 1, Kind: index.Token}); len(got) != 0 {
			d.Errorf("%v: %d resources are still found by their old entries", t, len(got))
		}
	}
}

func testReindex(t *testing.T, open OpenIndexer) {
	d := newIndexerTest(t, open)
	before, last := d.state(), int64(0)
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: newEntries, Progress: func(done, _ int64) {
		if done < last {
			t.Errorf("progress goes from %d to %d", last, done)
		}
		last = done
	}}))
	if last != indexedResources-1 {
		t.Errorf("%d resources were reindexed, want %d", last, indexedResources-1)
	}
	if diff := cmp.Diff(before, d.state()); diff != "" {
		t.Errorf("more than the index was changed:\n%s", diff)
	}
	d.wantIndexed()
	if _, err := open(t, d.dir, "new", d.clock.now); err != nil {
		t.Errorf("the reindexed directory cannot be opened: %v", err)
	}
	if _, err := open(t, d.dir, "old", d.clock.now); err == nil || !strings.Contains(err.Error(), "run 'muster reindex'") {
		t.Errorf("opening with the old definitions returns %v", err)
	}
	d.wantApply(store.Updated, put(fhir.Organization, "r0", "text at last"))
}

// interrupt runs a reindex that fails when the failpoint is passed for the n-th time.
func (d *indexerTest) interrupt(s IndexerStore, point string, passes int, definitions string) (done int64) {
	d.Helper()
	broken := errors.New("interrupted")
	disarm := failpoint.Arm(point, func(context.Context) error {
		if passes--; passes == 0 {
			return broken
		}
		return nil
	})
	defer disarm()
	if err := s.Reindex(d.Context(), store.Reindexing{Definitions: definitions, Extract: slowNewEntries, Progress: func(n, _ int64) { done = n }}); !errors.Is(err, broken) {
		d.Fatalf("the interrupted reindex returns %v", err)
	}
	return done
}

func testReindexInterrupted(t *testing.T, open OpenIndexer) {
	for _, point := range []string{"directory.reindex.begin", "directory.reindex.commit", "directory.reindex.committed"} {
		d := newIndexerTest(t, open)
		before := d.state()
		first := d.interrupt(d.store, point, 1, "new")
		if point != "directory.reindex.begin" {
			if _, err := open(t, d.dir, "new", d.clock.now); err == nil || !strings.Contains(err.Error(), "was not finished") {
				t.Errorf("%s: a directory whose reindex was interrupted can be opened: %v", point, err)
			}
		}
		again, err := open(t, d.dir, "", d.clock.now) // another process
		d.must(err)
		var rest int64
		d.must(again.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: newEntries, Progress: func(n, _ int64) { rest = n }}))
		if first+rest != indexedResources-1 {
			t.Errorf("%s: %d resources before the interruption and %d after it, want %d in total", point, first, rest, indexedResources-1)
		}
		if diff := cmp.Diff(before, d.state()); diff != "" {
			t.Errorf("%s: more than the index was changed:\n%s", point, diff)
		}
		d.wantIndexed()
		if _, err := open(t, d.dir, "new", d.clock.now); err != nil {
			t.Errorf("%s: %v", point, err)
		}
	}
}

// testReindexCleans cleans some resources, with an interruption in the middle. Each
// cleaned resource gets one new version, which the next delta holds, and the directory
// stores the rules.
func testReindexCleans(t *testing.T, open OpenIndexer) {
	d := newIndexerTest(t, open)
	since := d.snapshotTime()
	cleanings := 0
	reindexing := store.Reindexing{
		Definitions: "new", Rules: "rules", Cleaning: func(context.Context) error { cleanings++; return nil },
		Extract: func(dst []index.Entry, rt fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
			entries, _, err := slowNewEntries(dst, rt, line)
			var r struct{ ID, Text string }
			if err := json.Unmarshal(line, &r); err != nil {
				return nil, nil, err
			}
			if !strings.HasSuffix(r.Text, "7") {
				return entries, nil, err
			}
			clean := put(rt, r.ID, r.Text+" clean", entries...)
			return entries, &clean, err
		},
	}
	passes := 2
	broken := errors.New("interrupted")
	disarm := failpoint.Arm("directory.reindex.commit", func(context.Context) error {
		if passes--; passes == 0 {
			return broken
		}
		return nil
	})
	err := d.store.Reindex(t.Context(), reindexing)
	disarm()
	if !errors.Is(err, broken) {
		t.Fatalf("the interrupted reindex returns %v", err)
	}
	again, err := open(t, d.dir, "", d.clock.now)
	d.must(err)
	var cleaned int64
	reindexing.Progress = func(_, n int64) { cleaned = n }
	d.must(again.Reindex(t.Context(), reindexing))
	d.wantIndexed()
	want := indexedResources / 10
	var found []string
	for _, rt := range fhir.Types() {
		for _, r := range d.all(rt) {
			if !strings.Contains(r.Text, "7 clean") {
				continue
			}
			if found = append(found, r.ID); r.Meta.VersionID != "2" || strings.Contains(r.Text, "clean clean") {
				t.Errorf("%v/%s is %q in version %s", rt, r.ID, r.Text, r.Meta.VersionID)
			}
		}
	}
	if len(found) != want || cleaned == 0 || cleaned >= int64(want) || cleanings != 2 {
		t.Errorf("%d resources are clean, %d of them since the second call, with %d calls of Cleaning; want %d, some, 2", len(found), cleaned, cleanings, want)
	}
	later := 0
	for _, rt := range fhir.Types() {
		later += len(d.keys(rt, plan.Since{After: since}))
	}
	if later != want {
		t.Errorf("the delta holds %d resources, want %d", later, want)
	}
	if info := again.Info(); info.Rules != "rules" {
		t.Errorf("the directory stores %+v", info)
	}
}

// snapshotTime draws a transaction time.
func (d *indexerTest) snapshotTime() fhir.Instant {
	d.Helper()
	s, err := d.OpenSnapshot(d.Context(), func(context.Context, fhir.Instant) error { return nil })
	d.must(err)
	defer s.Close()
	return s.Time()
}

func testReindexOther(t *testing.T, open OpenIndexer) {
	d := newIndexerTest(t, open)
	if done := d.interrupt(d.store, "directory.reindex.committed", 1, "older"); done == 0 {
		t.Fatal("nothing was reindexed before the interruption")
	}
	var done int64
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: newEntries, Progress: func(n, _ int64) { done = n }}))
	if done != indexedResources-1 {
		t.Errorf("%d resources were reindexed for other definitions, want all %d", done, indexedResources-1)
	}
	d.wantIndexed()
}

func testReindexWriters(t *testing.T, open OpenIndexer) {
	d := newIndexerTest(t, open)
	other, err := open(t, d.dir, "", d.clock.now)
	d.must(err)
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: newEntries}))
	if _, err := other.Apply(t.Context(), []store.Change{put(fhir.Organization, "x", "x")}); err == nil || !strings.Contains(err.Error(), "run this command again") {
		t.Errorf("a write to the old index returns %v", err)
	}
}

// testReindexMoves moves the directory to another base URL, with an interruption before and
// one after the new base URL is stored. A writer that opened the directory before is refused,
// although the definitions are the same again.
func testReindexMoves(t *testing.T, open OpenIndexer) {
	d := newIndexerTest(t, open)
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: newEntries}))
	old := d.store.Info()
	if old.BaseURL == "" {
		t.Fatal("the directory has no base URL to move from")
	}
	writer, err := open(t, d.dir, "new", d.clock.now)
	d.must(err)
	moving := store.Reindexing{Definitions: "new", BaseURL: "https://new.example/fhir", Extract: slowNewEntries}
	for _, c := range []struct{ point, want string }{
		{"directory.reindex.begin", old.BaseURL},
		{"directory.reindex.committed", "https://new.example/fhir " + old.BaseURL},
	} {
		mover, err := open(t, d.dir, "", d.clock.now) // writes small chunks at first
		d.must(err)
		broken := errors.New("interrupted")
		disarm := failpoint.Arm(c.point, func(context.Context) error { return broken })
		err = mover.Reindex(t.Context(), moving)
		disarm()
		if !errors.Is(err, broken) {
			t.Fatalf("%s: the interrupted move returns %v", c.point, err)
		}
		again, err := open(t, d.dir, "", d.clock.now)
		d.must(err)
		if got := strings.Join(again.Info().Addresses(), " "); got != c.want {
			t.Errorf("interrupted at %s, the addresses are %s, want %s", c.point, got, c.want)
		}
	}
	again, err := open(t, d.dir, "", d.clock.now)
	d.must(err)
	var rest int64
	moving.Progress = func(n, _ int64) { rest = n }
	d.must(again.Reindex(t.Context(), moving))
	if rest == 0 || rest >= indexedResources-1 {
		t.Errorf("after the interruption %d resources were indexed, want the rest", rest)
	}
	last, err := open(t, d.dir, "new", d.clock.now)
	d.must(err)
	for _, s := range []IndexerStore{again, last} {
		if got := s.Info(); got.BaseURL != moving.BaseURL || got.Former != old.BaseURL {
			t.Errorf("the directory is now %+v", got)
		}
	}
	d.wantIndexed()
	if _, err := writer.Apply(t.Context(), []store.Change{put(fhir.Organization, "x", "x")}); err == nil || !strings.Contains(err.Error(), "has moved the directory to https://new.example/fhir") {
		t.Errorf("a write for the old base URL returns %v", err)
	}
	if _, err := last.Apply(t.Context(), []store.Change{put(fhir.Organization, "x", "x")}); err != nil {
		t.Errorf("a write for the new base URL returns %v", err)
	}
}

func testReindexError(t *testing.T, open OpenIndexer) {
	d := newIndexerTest(t, open)
	bad := errors.New("cannot be read")
	err := d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: func(dst []index.Entry, _ fhir.Type, _ []byte) ([]index.Entry, *store.Change, error) {
		return dst, nil, bad
	}})
	if !errors.Is(err, bad) || !strings.Contains(err.Error(), "Organization") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	err = d.store.Reindex(ctx, store.Reindexing{Definitions: "new", Extract: slowNewEntries, Progress: func(int64, int64) { cancel(stop) }})
	if !errors.Is(err, stop) {
		t.Errorf("a cancelled call returns %v", err)
	}
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: newEntries}))
	d.wantIndexed()
}
