package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// pin starts a job with the id and returns a snapshot whose versions the job keeps.
func (d directory) pin(id string) store.Snapshot {
	d.Helper()
	d.must(d.CreateJob(d.Context(), store.Job{ID: id, Owner: "anna", Request: []byte("{}"), Created: noon}, 0))
	task, err := d.Claim(d.Context(), "worker", noon, lease, store.Bounds{})
	d.must(err)
	if task == nil || task.Job.ID != id {
		d.Fatalf("claimed %v, want job %s", task, id)
	}
	s, err := d.OpenSnapshot(d.Context(), func(ctx context.Context, t fhir.Instant) error {
		return d.BeginSelecting(ctx, task, t, noon)
	})
	d.must(err)
	d.Cleanup(func() { _ = s.Close() })
	return s
}

// end ends the job.
func (d directory) end(id string) { d.must(d.Store.Fail(d.Context(), id, "over", noon, expires)) }

func testSnapshotIsolation(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "a", "one"), put(fhir.Location, "b", "one"), put(fhir.Location, "c", "one"))
	s := d.snapshot()
	d.apply(put(fhir.Location, "a", "two"), remove(fhir.Location, "b"), put(fhir.Location, "d", "one"))
	if n := len(d.pick(s, fhir.Location, plan.And{})); n != 3 {
		t.Errorf("the snapshot holds %d resources, want the 3 of its time", n)
	}
	delta := d.keys(fhir.Location, plan.Since{After: s.Time()})
	if n := len(delta); n != 2 {
		t.Errorf("the delta holds %d resources, want the 2 written since", n)
	}
	if n := len(d.pick(s, fhir.Location, plan.Since{After: s.Time()})); n != 0 {
		t.Errorf("the snapshot holds %d versions that are newer than the snapshot", n)
	}
}

// testRemovals checks that a snapshot lists each removal after an instant and up to its own time,
// and says which resources were created again.
func testRemovals(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "early", "one"), put(fhir.Location, "gone", "one"), put(fhir.Location, "back", "one"), put(fhir.Location, "twice", "one"),
		put(fhir.Location, "stays", "one"), put(fhir.Provenance, "gone", "one"), put(fhir.Location, "late", "one"))
	key := func(id string) store.RowKey {
		t.Helper()
		rows, err := d.Lookup(t.Context(), fhir.Location, []string{id})
		d.must(err)
		return rows[0].Key
	}
	d.apply(remove(fhir.Location, "early"))
	since := d.snapshot().Time()
	want := []store.Removal{{ID: "back", Key: key("back")}, {ID: "gone", Key: key("gone")}, {ID: "twice", Key: key("twice")}}
	for _, id := range []string{"twice", "gone", "back"} {
		d.apply(remove(fhir.Location, id))
	}
	d.apply(remove(fhir.Provenance, "gone"))
	d.apply(put(fhir.Location, "back", "two"), put(fhir.Location, "twice", "two"))
	want[0].Again = key("back")
	want = append(want, store.Removal{ID: "twice", Key: key("twice")})
	d.apply(remove(fhir.Location, "twice"))
	s := d.snapshot()
	d.apply(remove(fhir.Location, "late"), put(fhir.Location, "gone", "two"))
	list := func(s store.Snapshot, t fhir.Type, since fhir.Instant) (all []store.Removal) {
		d.Helper()
		d.must(s.Removals(d.Context(), t, since, func(r store.Removal) error { all = append(all, r); return nil }))
		return all
	}
	if diff := cmp.Diff(want, list(s, fhir.Location, since)); diff != "" {
		t.Errorf("removals (-want +got):\n%s", diff)
	}
	if all := list(s, fhir.Provenance, since); len(all) != 1 || all[0].ID != "gone" || all[0].Again != 0 {
		t.Errorf("removals of another type: %v", all)
	}
	if all := list(s, fhir.Location, 0); len(all) != len(want)+1 || all[1].ID != "early" {
		t.Errorf("all removals: %v", all)
	}
	if all := list(s, fhir.Location, s.Time()); len(all) != 0 {
		t.Errorf("removals after the snapshot: %v", all)
	}
	later := list(d.snapshot(), fhir.Location, s.Time())
	if len(later) != 1 || later[0].ID != "late" {
		t.Errorf("the next delta lists %v", later)
	}
	stop := errors.New("stop")
	if err := s.Removals(t.Context(), fhir.Location, 0, func(store.Removal) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of yield is not returned, but %v", err)
	}
}

// barrier blocks at a failpoint until it is opened.
type barrier struct{ reached, open chan struct{} }

func armBarrier(t *testing.T, point string) *barrier {
	b := &barrier{make(chan struct{}, 1), make(chan struct{})}
	t.Cleanup(failpoint.Arm(point, func(context.Context) error {
		select {
		case b.reached <- struct{}{}:
		default:
		}
		<-b.open
		return nil
	}))
	return b
}

// armSignal returns a channel that receives a value when a failpoint is passed.
func armSignal(t *testing.T, point string) <-chan struct{} {
	passed := make(chan struct{}, 1)
	t.Cleanup(failpoint.Arm(point, func(context.Context) error {
		select {
		case passed <- struct{}{}:
		default:
		}
		return nil
	}))
	return passed
}

func testSnapshotWaits(t *testing.T, open OpenStore) {
	dir, c := t.TempDir(), newClock()
	loader := directory{t, open(t, dir, c.now), c}
	server := directory{t, open(t, dir, c.now), c}
	commit := armBarrier(t, "directory.apply.commit")
	written := make(chan error, 1)
	go func() {
		_, err := loader.Apply(t.Context(), []store.Change{put(fhir.Location, "a", "one")})
		written <- err
	}()
	<-commit.reached
	waiting := armSignal(t, "directory.gate.waiting")
	opened := make(chan store.Snapshot, 1)
	go func() {
		s, err := server.OpenSnapshot(t.Context(), noPin)
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	select {
	case <-waiting:
	case <-opened:
		t.Fatal("a snapshot was opened while a batch was inside the gate")
	}
	close(commit.open)
	s := <-opened
	if s == nil {
		t.FailNow()
	}
	defer s.Close()
	loader.must(<-written)
	if n := len(server.pick(s, fhir.Location, plan.And{})); n != 1 {
		t.Errorf("the snapshot of a later time holds %d resources, want the one committed before", n)
	}
}

func testBatchWaits(t *testing.T, open OpenStore) {
	dir, c := t.TempDir(), newClock()
	loader := directory{t, open(t, dir, c.now), c}
	server := directory{t, open(t, dir, c.now), c}
	for _, point := range []string{"directory.snapshot.drawn", "directory.snapshot.pinned"} {
		drawn := armBarrier(t, point)
		opened := make(chan store.Snapshot, 1)
		go func() {
			s, err := server.OpenSnapshot(t.Context(), noPin)
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
		<-drawn.reached
		waiting := armSignal(t, "directory.gate.waiting")
		written := make(chan error, 1)
		go func() {
			_, err := loader.Apply(t.Context(), []store.Change{put(fhir.Location, point, "one")})
			written <- err
		}()
		select {
		case <-waiting:
		case err := <-written:
			t.Fatalf("%s: a batch was written while a snapshot was being opened: %v", point, err)
		}
		close(drawn.open)
		s := <-opened
		if s == nil {
			t.FailNow()
		}
		loader.must(<-written)
		if found := server.pick(s, fhir.Location, plan.IDs{point}); len(found) != 0 {
			t.Errorf("%s: the snapshot holds a resource that was written after it", point)
		}
		if n := len(server.keys(fhir.Location, plan.Since{After: s.Time()})); n != 1 {
			t.Errorf("%s: the next delta holds %d resources, want 1", point, n)
		}
		server.must(s.Close())
	}
}

// testGateTurns opens snapshots while two loaders write continuously. A snapshot holds
// everything that was committed before its time and nothing that was committed later.
func testGateTurns(t *testing.T, open OpenStore) {
	dir, c := t.TempDir(), newClock()
	server := directory{t, open(t, dir, c.now), c}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for n := range 2 {
		loader := open(t, dir, c.now)
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := loader.Apply(ctx, []store.Change{put(fhir.Location, fmt.Sprint("l", n), fmt.Sprint(i))}); err != nil && ctx.Err() == nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	last := fhir.Instant(0)
	for range 50 {
		s, err := server.OpenSnapshot(t.Context(), noPin)
		server.must(err)
		if n := len(server.pick(s, fhir.Location, plan.Since{After: s.Time() - 1})); n != 0 {
			t.Errorf("a version was committed at the transaction time or later")
		}
		if s.Time() <= last {
			t.Errorf("transaction time %v after %v", s.Time(), last)
		}
		last = s.Time()
		server.must(s.Close())
	}
	stop()
	server.must(<-done)
	server.must(<-done)
}

func testFailedPin(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	refused := errors.New("refused")
	if _, err := d.OpenSnapshot(t.Context(), func(context.Context, fhir.Instant) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error %v, want that of pin", err)
	}
	d.apply(put(fhir.Location, "a", "one")) // the gate is not blocked
}

// testInterruptedSelection checks that a selection returns why it was interrupted, before its first
// statement and between two rows.
func testInterruptedSelection(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	for _, id := range []string{"a", "b", "c"} {
		d.apply(put(fhir.Location, id, "one"))
	}
	reason := errors.New("its time is used up")
	for _, early := range []bool{true, false} {
		ctx, stop := context.WithCancelCause(t.Context())
		if early {
			stop(reason)
		}
		s := d.snapshot()
		err := s.Select(ctx, plan.Plan{Type: fhir.Location, Root: plan.And{}}, func(store.RowKey, int64) error {
			stop(reason)
			return ctx.Err()
		})
		if !errors.Is(err, reason) || errors.Is(err, context.Canceled) {
			t.Errorf("early %t: error %v, want the reason", early, err)
		}
		d.must(s.Close())
	}
}

func testReadAsOf(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	for _, id := range []string{"a", "b", "c", "d"} {
		d.apply(put(fhir.Location, id, "one"))
	}
	first := d.pin("first")
	keys := keysOf(d.pick(first, fhir.Location, plan.And{}))
	before := d.lines(keys, first.Time())
	d.apply(put(fhir.Location, "a", "two"), remove(fhir.Location, "b"), put(fhir.Location, "e", "one"))
	second := d.pin("second")
	keys2 := keysOf(d.pick(second, fhir.Location, plan.And{}))
	before2 := d.lines(keys2, second.Time())
	d.apply(put(fhir.Location, "a", "three"), put(fhir.Location, "b", "again"), remove(fhir.Location, "d"))
	d.apply(put(fhir.Location, "a", "four"), remove(fhir.Location, "e"))
	if diff := cmp.Diff(before, d.lines(keys, first.Time())); diff != "" {
		t.Errorf("as of the first snapshot (-then +now)\n%s", diff)
	}
	if diff := cmp.Diff(before2, d.lines(keys2, second.Time())); diff != "" {
		t.Errorf("as of the second snapshot (-then +now)\n%s", diff)
	}
}

func testNoHistory(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "a", "one"))
	s := d.snapshot()
	keys := keysOf(d.pick(s, fhir.Location, plan.And{}))
	d.apply(put(fhir.Location, "a", "two"))
	err := d.ReadAsOf(t.Context(), keys, s.Time(), func(store.RowKey, []byte) error { return nil })
	if err == nil {
		t.Error("a version that no live job needs was kept")
	}
}

func testVacuum(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "a", "one"))
	first := d.pin("first")
	keys := keysOf(d.pick(first, fhir.Location, plan.And{}))
	d.apply(put(fhir.Location, "a", "two"))
	second := d.pin("second")
	d.apply(put(fhir.Location, "a", "three"))
	for _, step := range []struct {
		end  string
		want int64
	}{{"", 0}, {"first", 1}, {"", 0}} {
		if step.end != "" {
			d.end(step.end)
		}
		n, err := d.Vacuum(t.Context())
		d.must(err)
		if n != step.want {
			t.Errorf("after the end of %q: %d versions deleted, want %d", step.end, n, step.want)
		}
	}
	if r := d.read(d.lines(keys, second.Time())[0]); r.Text != "two" {
		t.Errorf("as of the second snapshot: %q, want two", r.Text)
	}
	d.end("second")
	if n, err := d.Vacuum(t.Context()); n != 1 || err != nil {
		t.Errorf("%d versions deleted, %v; want 1", n, err)
	}
}

func testReadOrder(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	var changes []store.Change
	for i := range 200 {
		changes = append(changes, put(fhir.Location, fmt.Sprint("l", i), "one"))
	}
	d.apply(changes...)
	s := d.pin("job")
	all := keysOf(d.pick(s, fhir.Location, plan.And{}))
	for i := 0; i < len(all); i += 3 {
		d.apply(put(fhir.Location, fmt.Sprint("l", i), "two"))
	}
	var sparse []store.RowKey
	for i := 0; i < len(all); i += 10 {
		sparse = append(sparse, all[i])
	}
	back := slices.Clone(all)
	slices.Reverse(back)
	for name, keys := range map[string][]store.RowKey{"dense": all, "sparse": sparse, "backward": back, "one": all[5:6], "none": nil} {
		for i, line := range d.lines(keys, s.Time()) {
			if r := d.read(line); r.Text != "one" || r.ID != fmt.Sprint("l", slices.Index(all, keys[i])) {
				t.Fatalf("%s: line %d is %+v", name, i, r)
			}
		}
	}
}
