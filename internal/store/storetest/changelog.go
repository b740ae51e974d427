package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// testChangeLog checks that each change is logged with what it did, in the order of commits, and
// nothing else is.
func testChangeLog(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	hidden := func(v index.Visibility, text string) store.Change {
		c := put(fhir.Endpoint, "a", text)
		c.Visibility = v
		return c
	}
	d.apply(put(fhir.Organization, "o", "one"), hidden(0, "one"))
	middle := d.drawTime()
	for _, step := range []struct {
		change store.Change
		want   string
	}{
		{hidden(0, "one"), ""},
		{hidden(0, "two"), "updated"},
		{hidden(index.Suppressed, "two, suppressed"), "suppressed"},
		{hidden(index.Suppressed, "three, suppressed"), "updated"},
		{hidden(index.Suppressed|index.Inactive, "three, both"), "deactivated"},
		{hidden(index.Inactive, "three, inactive"), "lifted"},
		{hidden(index.Suppressed, "four, suppressed"), "suppressed reactivated"},
		{hidden(0, "four"), "lifted"},
		{hidden(index.Suppressed|index.Inactive, "five, both"), "suppressed deactivated"},
		{store.Change{Type: fhir.Endpoint, ID: "a", Revise: func(store.Current, *store.Change) (bool, error) { return false, nil }}, ""},
		{remove(fhir.Endpoint, "a"), "removed"},
		{remove(fhir.Endpoint, "a"), ""},
		{hidden(index.Suppressed, "six, suppressed"), "created"},
		{put(fhir.Organization, "o", "two"), "updated"},
	} {
		before := d.drawTime()
		d.apply(step.change)
		if got := strings.Join(d.changes(before), ", "); got != step.want {
			t.Errorf("%s is logged as %q, want %q", step.change.Document.Tail, got, step.want)
		}
	}
	if got := d.changes(middle); len(got) != 11 {
		t.Errorf("%d entries after the first two: %q, want 11", len(got), got)
	}
	if diff := cmp.Diff([]string{"created", "created", "updated"}, d.changes(0)[:3]); diff != "" {
		t.Errorf("the first entries (-want +got)\n%s", diff)
	}
	enough := errors.New("enough")
	if err := d.EachChange(t.Context(), 0, func(store.Logged) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v, want that of yield", err)
	}
	if at, err := d.LogStart(t.Context()); at != 0 || err != nil {
		t.Errorf("the log of a new directory starts at %v, %v", at, err)
	}
	d.wantLogged()
}

// testRecall checks what a directory knows about versions: by the change log, and of the current
// version also without it. It also knows the versions of what was removed.
func testRecall(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	kept := fhir.Instant(1_000)
	old := put(fhir.Endpoint, "kept", "one")
	old.LastUpdated = &kept
	d.apply(put(fhir.Endpoint, "a", "one"), put(fhir.Endpoint, "b", "one"), old)
	version := func(id string) store.Version {
		rows, err := d.Lookup(t.Context(), fhir.Endpoint, []string{id})
		d.must(err)
		return store.Version{Type: fhir.Endpoint, ID: id, Number: rows[0].Version, LastUpdated: rows[0].LastUpdated}
	}
	first, keptVersion := version("a"), version("kept")
	hidden := put(fhir.Endpoint, "a", "two")
	hidden.Visibility = index.Suppressed
	d.apply(hidden)
	second := version("a")
	otherTime, otherID, otherType, otherNumber := second, second, second, second
	otherTime.LastUpdated++
	otherID.ID = "b"
	otherType.Type = fhir.Location
	otherNumber.Number++
	versions := []store.Version{otherTime, first, second, keptVersion, otherID, otherType, otherNumber}
	const suppressed = store.WasSuppressed | store.OwnSuppressed
	want := []store.Recalled{
		{}, {What: store.WasCreated}, {Current: true, What: suppressed}, {Current: true}, {}, {}, {What: suppressed},
	}
	recall := func(want []store.Recalled) {
		t.Helper()
		got, err := d.Recall(t.Context(), versions)
		d.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	recall(want)
	d.apply(remove(fhir.Endpoint, "a"))
	want[2].Current = false
	recall(want)
	d.apply(put(fhir.Endpoint, "a", "three"))
	recall(want)
	d.must(sweepLog(d, second.LastUpdated+1))
	recall([]store.Recalled{{}, {}, {}, {Current: true}, {}, {}, {}})
	versions = nil
	recall([]store.Recalled{})
}

func sweepLog(d directory, before fhir.Instant) error {
	_, err := d.SweepLog(d.Context(), before)
	return err
}

// drawTime draws a time.
func (d directory) drawTime() fhir.Instant {
	d.Helper()
	s := d.snapshot()
	d.must(s.Close())
	return s.Time()
}

// changes returns what the change log has after a time. It checks the order of the entries.
func (d directory) changes(after fhir.Instant) (list []string) {
	d.Helper()
	var last store.Logged
	d.must(d.EachChange(d.Context(), after, func(e store.Logged) error {
		if e.Committed <= after || e.Committed < last.Committed || e.Committed == last.Committed && e.Key <= last.Key {
			d.Errorf("entry %+v follows %+v, read after %v", e, last, after)
		}
		last = e
		var names []string
		for n, name := range store.WhatNames {
			if e.What&(1<<n) != 0 {
				names = append(names, name)
			}
		}
		list = append(list, strings.Join(names, " "))
		return nil
	}))
	return list
}

// wantLogged checks that the last entry of each resource is that of its current version.
func (d directory) wantLogged() {
	d.Helper()
	last := map[store.RowKey]store.Logged{}
	d.must(d.EachChange(d.Context(), 0, func(e store.Logged) error {
		last[e.Key] = e
		return nil
	}))
	s := d.snapshot()
	defer s.Close()
	for _, t := range fhir.Types() {
		for _, row := range d.pick(s, t, plan.And{}) {
			e := last[row.Key]
			delete(last, row.Key)
			if e.What&store.WasRemoved != 0 || e.What == 0 {
				d.Errorf("the last entry of %v/%d is %+v", t, row.Key, e)
			}
			if since := d.pick(s, t, plan.Since{After: e.Committed - 1}); !contains(since, row.Key) {
				d.Errorf("the entry %+v is later than the version", e)
			}
			if since := d.pick(s, t, plan.Since{After: e.Committed}); contains(since, row.Key) {
				d.Errorf("the entry %+v is earlier than the version", e)
			}
		}
	}
	for key, e := range last {
		if e.What != store.WasRemoved {
			d.Errorf("the resource with key %v does not exist, but its last entry is %+v", key, e)
		}
	}
}

func contains(rows []found, key store.RowKey) bool {
	for _, r := range rows {
		if r.Key == key {
			return true
		}
	}
	return false
}

// testSweepLog checks that a sweep deletes the entries from before a time, and no others. The log
// has more than one page for reading and for sweeping.
func testSweepLog(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	var old []store.Change
	for n := range 2500 {
		old = append(old, put(fhir.Location, fmt.Sprint(n), "one"))
	}
	d.apply(old...)
	if got := d.changes(0); len(got) != len(old) {
		t.Errorf("%d entries, want %d", len(got), len(old))
	}
	d.apply(put(fhir.Location, "late", "one"))
	var last fhir.Instant
	d.must(d.EachChange(t.Context(), 0, func(e store.Logged) error {
		last = e.Committed
		return nil
	}))
	for _, want := range []int64{int64(len(old)), 0} {
		if n, err := d.SweepLog(t.Context(), last); n != want || err != nil {
			t.Errorf("%d entries are swept, %v; want %d", n, err, want)
		}
		if got := d.changes(0); len(got) != 1 {
			t.Errorf("%d entries are left, want 1", len(got))
		}
	}
	if at, err := d.LogStart(t.Context()); at != last-1 || err != nil {
		t.Errorf("the log starts after %v, %v; want %v", at, err, last-1)
	}
}
