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

// IndexerStore is a store whose index can be made anew.
type IndexerStore interface {
	store.Store
	store.Indexer
}

// OpenIndexer opens a store as [OpenStore] does, which must have the definitions
// given if it was made already; empty for any.
type OpenIndexer func(t testing.TB, dir, definitions string, now func() time.Time) (IndexerStore, error)

// Indexer runs the suite of making the index anew. The driver has the fault points
// directory.reindex.begin, .commit and .committed.
func Indexer(t *testing.T, open OpenIndexer) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenIndexer)
	}{
		{"NewEntriesAndNothingElse", testReindex},
		{"GoesOnWhereItWasCut", testReindexCut},
		{"OtherDefinitionsBeginAgain", testReindexOther},
		{"WhatMayNotBeHeldGoesInANewVersion", testReindexCleans},
		{"OpenWritersAreRefused", testReindexWriters},
		{"ErrorOfExtractNamesTheResource", testReindexError},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// indexing is a directory of resources in several versions, with a live job that
// needs some of the old ones.
type indexing struct {
	directory
	store IndexerStore
	dir   string
	open  OpenIndexer
}

const indexedResources = 1500

func newIndexing(t *testing.T, open OpenIndexer) *indexing {
	t.Helper()
	c, dir := newClock(), t.TempDir()
	s, err := open(t, dir, "", c.now)
	if err != nil {
		t.Fatal(err)
	}
	d := &indexing{directory: directory{TB: t, Store: s, clock: c}, store: s, dir: dir, open: open}
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

// fresh is the extraction of the new definitions: a token of another parameter, the
// same string as before, and a date.
func fresh(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
	var r struct{ ID, Text string }
	if err := json.Unmarshal(line, &r); err != nil {
		return dst, nil, err
	}
	return append(dst,
		index.Entry{Kind: index.Token, Param: 5, System: "new", Code: r.Text},
		index.Entry{Kind: index.String, Param: 2, Norm: "both", Exact: "both"},
		index.Entry{Kind: index.Date, Param: 6, Period: fhir.Period{From: 1, To: 2}}), nil, nil
}

// slow takes its time, so that the resources make several batches.
func slow(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
	time.Sleep(200 * time.Microsecond)
	return fresh(dst, t, line)
}

// state is all of a directory that its index is not.
func (d *indexing) state() (all []string) {
	d.Helper()
	for _, t := range fhir.Types() {
		d.must(d.EachCurrent(d.Context(), t, func(line []byte) error {
			all = append(all, string(line))
			return nil
		}))
	}
	counts, err := d.Counts(d.Context())
	d.must(err)
	return append(all, fmt.Sprint(counts))
}

// wantIndexed checks that every resource is found by its new entries alone.
func (d *indexing) wantIndexed() {
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
				d.Errorf("%v: %v does not find all:\n%s", t, node, diff)
			}
		}
		if got := d.keys(t, plan.Present{Param: 1, Kind: index.Token}); len(got) != 0 {
			d.Errorf("%v: %d resources are still found by their old entries", t, len(got))
		}
	}
}

func testReindex(t *testing.T, open OpenIndexer) {
	d := newIndexing(t, open)
	before, last := d.state(), int64(0)
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: fresh, Progress: func(done, _ int64) {
		if done < last {
			t.Errorf("progress goes from %d to %d", last, done)
		}
		last = done
	}}))
	if last != indexedResources-1 {
		t.Errorf("%d resources are done, want %d", last, indexedResources-1)
	}
	if diff := cmp.Diff(before, d.state()); diff != "" {
		t.Errorf("more than the index has changed:\n%s", diff)
	}
	d.wantIndexed()
	if _, err := open(t, d.dir, "new", d.clock.now); err != nil {
		t.Errorf("the directory is not as it was made: %v", err)
	}
	if _, err := open(t, d.dir, "old", d.clock.now); err == nil || !strings.Contains(err.Error(), "run 'muster reindex'") {
		t.Errorf("the old definitions are met with %v", err)
	}
	d.wantApply(store.Updated, put(fhir.Organization, "r0", "text at last"))
}

// cut makes the index until the fault point is passed n times.
func (d *indexing) cut(s IndexerStore, point string, passes int, definitions string) (done int64) {
	d.Helper()
	broken := errors.New("cut off")
	disarm := failpoint.Arm(point, func(context.Context) error {
		if passes--; passes == 0 {
			return broken
		}
		return nil
	})
	defer disarm()
	if err := s.Reindex(d.Context(), store.Reindexing{Definitions: definitions, Extract: slow, Progress: func(n, _ int64) { done = n }}); !errors.Is(err, broken) {
		d.Fatalf("the cut gives %v", err)
	}
	return done
}

func testReindexCut(t *testing.T, open OpenIndexer) {
	for _, point := range []string{"directory.reindex.begin", "directory.reindex.commit", "directory.reindex.committed"} {
		d := newIndexing(t, open)
		before := d.state()
		first := d.cut(d.store, point, 1, "new")
		if point != "directory.reindex.begin" {
			if _, err := open(t, d.dir, "new", d.clock.now); err == nil || !strings.Contains(err.Error(), "was not finished") {
				t.Errorf("%s: half an index is opened: %v", point, err)
			}
		}
		again, err := open(t, d.dir, "", d.clock.now) // another process
		d.must(err)
		var rest int64
		d.must(again.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: fresh, Progress: func(n, _ int64) { rest = n }}))
		if first+rest != indexedResources-1 {
			t.Errorf("%s: %d resources before the cut and %d after it, want %d together", point, first, rest, indexedResources-1)
		}
		if diff := cmp.Diff(before, d.state()); diff != "" {
			t.Errorf("%s: more than the index has changed:\n%s", point, diff)
		}
		d.wantIndexed()
		if _, err := open(t, d.dir, "new", d.clock.now); err != nil {
			t.Errorf("%s: %v", point, err)
		}
	}
}

// testReindexCleans has some resources cleaned, with a cut in the middle: each gets one
// new version, which a delta from before finds, and the directory notes the rules.
func testReindexCleans(t *testing.T, open OpenIndexer) {
	d := newIndexing(t, open)
	since := d.snapshotTime()
	cleanings := 0
	how := store.Reindexing{
		Definitions: "new", Rules: "rules", Cleaning: func(context.Context) error { cleanings++; return nil },
		Extract: func(dst []index.Entry, rt fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
			entries, _, err := slow(dst, rt, line)
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
	broken := errors.New("cut off")
	disarm := failpoint.Arm("directory.reindex.commit", func(context.Context) error {
		if passes--; passes == 0 {
			return broken
		}
		return nil
	})
	err := d.store.Reindex(t.Context(), how)
	disarm()
	if !errors.Is(err, broken) {
		t.Fatalf("the cut gives %v", err)
	}
	again, err := open(t, d.dir, "", d.clock.now)
	d.must(err)
	var cleaned int64
	how.Progress = func(_, n int64) { cleaned = n }
	d.must(again.Reindex(t.Context(), how))
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
		t.Errorf("%d resources are clean, %d of them by the second call, after %d calls of Cleaning; want %d, some, 2", len(found), cleaned, cleanings, want)
	}
	later := 0
	for _, rt := range fhir.Types() {
		later += len(d.keys(rt, plan.Since{After: since}))
	}
	if later != want {
		t.Errorf("a delta from before finds %d resources, want %d", later, want)
	}
	if info := again.(interface{ Info() store.Identity }).Info(); info.Rules != "rules" {
		t.Errorf("the directory notes %+v", info)
	}
}

// snapshotTime draws a transaction time.
func (d *indexing) snapshotTime() fhir.Instant {
	d.Helper()
	s, err := d.OpenSnapshot(d.Context(), func(context.Context, fhir.Instant) error { return nil })
	d.must(err)
	defer s.Close()
	return s.Time()
}

func testReindexOther(t *testing.T, open OpenIndexer) {
	d := newIndexing(t, open)
	if done := d.cut(d.store, "directory.reindex.committed", 1, "older"); done == 0 {
		t.Fatal("nothing was done before the cut")
	}
	var done int64
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: fresh, Progress: func(n, _ int64) { done = n }}))
	if done != indexedResources-1 {
		t.Errorf("%d resources are done for other definitions, want all %d", done, indexedResources-1)
	}
	d.wantIndexed()
}

func testReindexWriters(t *testing.T, open OpenIndexer) {
	d := newIndexing(t, open)
	other, err := open(t, d.dir, "", d.clock.now)
	d.must(err)
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: fresh}))
	if _, err := other.Apply(t.Context(), []store.Change{put(fhir.Organization, "x", "x")}); err == nil || !strings.Contains(err.Error(), "run this one again") {
		t.Errorf("a writer of the old index gets %v", err)
	}
}

func testReindexError(t *testing.T, open OpenIndexer) {
	d := newIndexing(t, open)
	bad := errors.New("cannot be read")
	err := d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: func(dst []index.Entry, _ fhir.Type, _ []byte) ([]index.Entry, *store.Change, error) {
		return dst, nil, bad
	}})
	if !errors.Is(err, bad) || !strings.Contains(err.Error(), "Organization") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	err = d.store.Reindex(ctx, store.Reindexing{Definitions: "new", Extract: slow, Progress: func(int64, int64) { cancel(stop) }})
	if !errors.Is(err, stop) {
		t.Errorf("a cancelled call ends with %v", err)
	}
	d.must(d.store.Reindex(t.Context(), store.Reindexing{Definitions: "new", Extract: fresh}))
	d.wantIndexed()
}
