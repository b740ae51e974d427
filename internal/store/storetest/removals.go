package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// sweep forgets the removals before a time and checks how many there are. A request of a job is
// the time after which the job needs removals.
func (d directory) sweep(before fhir.Instant, want int64) {
	d.Helper()
	got, err := d.SweepRemovals(d.Context(), store.Sweep{Before: before, Needs: sinceOf})
	d.must(err)
	if got != want {
		d.Errorf("%d removals before %v were swept, want %d", got, before, want)
	}
}

func sinceOf(request []byte) fhir.Instant {
	if string(request) == "none" {
		return fhir.Forever
	}
	ms, err := strconv.ParseInt(string(request), 10, 64)
	if err != nil {
		return fhir.Always
	}
	return fhir.Instant(ms)
}

// tick moves the clock by a second and returns its time.
func (d directory) tick() fhir.Instant {
	now := fhir.InstantOf(d.clock.now()) + 1000
	d.clock.set(now)
	return now
}

// testSweep checks which removals a sweep forgets, the horizon, and the versions of resources that
// are created afterwards.
func testSweep(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	wantHorizon := func(want fhir.Instant) {
		t.Helper()
		got, err := d.Horizon(t.Context())
		d.must(err)
		if diff := cmp.Diff(store.Horizon{Swept: want}, got); diff != "" {
			t.Errorf("horizon (-want +got)\n%s", diff)
		}
	}
	var changes []store.Change
	const many = 1200 // more than one transaction forgets
	for i := range many {
		changes = append(changes, put(fhir.Location, fmt.Sprint("l", i), "one"))
	}
	d.apply(changes...)
	d.apply(put(fhir.Location, "l0", "two"), put(fhir.Location, "a", "one"), put(fhir.Endpoint, "e", "one"))
	d.sweep(fhir.Forever, 0)
	wantHorizon(0)
	for i := range many {
		changes[i] = remove(fhir.Location, fmt.Sprint("l", i))
	}
	d.tick()
	d.apply(changes...) // versions 3 and 2
	second := d.tick()
	d.apply(remove(fhir.Location, "a"), remove(fhir.Endpoint, "e"))
	d.sweep(noon+1000, 0)
	d.sweep(second, many)
	d.sweep(second, 0)
	horizon, err := d.Horizon(t.Context())
	d.must(err)
	if horizon.Swept < noon+1000 || horizon.Swept >= second {
		t.Errorf("the horizon is %v, want the time of the removals that were swept", horizon.Swept)
	}
	wantHorizon(horizon.Swept)

	d.apply(put(fhir.Location, "l0", "again"), put(fhir.Location, "a", "again"), put(fhir.Location, "new", "one"), put(fhir.Endpoint, "e", "again"))
	d.wantAll(fhir.Location, "l0 v4 again", "a v4 again", "new v4 one")
	d.wantAll(fhir.Endpoint, "e v3 again")
	d.apply(put(fhir.Location, "l0", "three"))
	d.sweep(second+1, 2)
	wantHorizon(second)
	d.apply(put(fhir.Endpoint, "other", "one"))
	d.wantAll(fhir.Endpoint, "e v3 again", "other v3 one")
}

// testSweepForJobs checks that a sweep keeps the removals that a live job needs, in any of its
// states, until the job has ended.
func testSweepForJobs(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	var at []fhir.Instant
	for _, id := range []string{"a", "b", "c"} {
		d.apply(put(fhir.Location, id, "one"))
		d.apply(remove(fhir.Location, id))
		s := d.snapshot()
		at = append(at, s.Time())
		d.must(s.Close())
	}
	create := func(id, request string) {
		t.Helper()
		d.must(d.CreateJob(t.Context(), store.Job{ID: id, Owner: "anna", State: store.Accepted, Request: []byte(request), Created: noon}, 0))
	}
	create("full", "none")
	create("delta", fmt.Sprint(int64(at[0]))) // knows of the removal of a
	d.sweep(fhir.Forever, 1)
	task, err := d.Claim(t.Context(), "worker", noon, lease, store.Bounds{})
	for err == nil && task != nil && task.Job.ID != "delta" {
		task, err = d.Claim(t.Context(), "worker", noon, lease, store.Bounds{})
	}
	d.must(err)
	s, err := d.OpenSnapshot(t.Context(), noPin)
	d.must(err)
	d.must(d.BeginSelecting(t.Context(), task, s.Time(), noon))
	d.must(s.Close())
	d.sweep(fhir.Forever, 0)
	create("unreadable", "?")
	d.end("delta")
	d.sweep(fhir.Forever, 0)
	d.end("unreadable")
	d.sweep(at[1], 1)
	d.sweep(fhir.Forever, 1)
}

// testVersionIDs creates, changes and removes resources and sweeps removals in a random order. No
// version id of a resource ever stands for two versions.
func testVersionIDs(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	types, ids := []fhir.Type{fhir.Location, fhir.Endpoint}, []string{"a", "b", "c", "d"}
	used := map[string]bool{}
	write := func(kind fhir.Type, id, text string) {
		t.Helper()
		if d.apply(put(kind, id, text))[0] == store.Unchanged {
			return
		}
		rows, err := d.Lookup(t.Context(), kind, []string{id})
		d.must(err)
		version := fmt.Sprintf("%v/%s/_history/%d", kind, id, rows[0].Version)
		if used[version] {
			t.Fatalf("%s comes twice", version)
		}
		used[version] = true
	}
	sweep := func(before fhir.Instant) int64 {
		n, err := d.SweepRemovals(t.Context(), store.Sweep{Before: before, Needs: sinceOf})
		d.must(err)
		return n
	}
	swept := int64(0)
	for range 300 {
		kind, id := types[random.IntN(len(types))], ids[random.IntN(len(ids))]
		switch random.IntN(6) {
		case 0, 1, 2:
			write(kind, id, fmt.Sprint(random.IntN(3)))
		case 3, 4:
			d.apply(remove(kind, id))
		default:
			swept += sweep(fhir.InstantOf(d.clock.now()) - fhir.Instant(random.Int64N(10_000)))
		}
		d.tick()
	}
	for _, kind := range types {
		for _, id := range ids {
			d.apply(remove(kind, id))
		}
	}
	if swept += sweep(fhir.Forever); swept < 10 {
		t.Errorf("only %d removals were swept", swept)
	}
	for _, kind := range types {
		for _, id := range ids {
			write(kind, id, "last")
		}
	}
}

// Restored tests that a directory which was restored from a backup refuses the times that the
// original has issued since the backup. backUp makes a backup of the directory in a folder, whose
// clock has issued a time last; each call of the function that it returns opens the restored copy.
func Restored(t *testing.T, open OpenStore, backUp func(dir string, last fhir.Instant) (restored func(now func() time.Time) store.Store)) {
	dir := t.TempDir()
	c := newClock()
	original := directory{TB: t, Store: open(t, dir, c.now), clock: c}
	transactionTime := func(d directory) fhir.Instant {
		t.Helper()
		s := d.snapshot()
		defer s.Close()
		return s.Time()
	}
	original.apply(put(fhir.Location, "a", "one"))
	before := transactionTime(original)
	restored := backUp(dir, before)
	original.tick()
	original.apply(put(fhir.Location, "a", "two"))
	lost := transactionTime(original)
	wantAnswers := func(d directory, what string, since fhir.Instant, want bool) {
		t.Helper()
		h, err := d.Horizon(t.Context())
		d.must(err)
		if err := h.Check(since); (err == nil) != want {
			t.Errorf("%s: %v is answered: %v, want %t; horizon %+v", what, since, err, want, h)
		}
	}
	wantAnswers(original, "the original", lost, true)

	copied := directory{TB: t, Store: restored(c.now), clock: c}
	wantAnswers(copied, "the copy", before, true)
	wantAnswers(copied, "the copy before its use", lost, false)
	original.tick()
	wantAnswers(copied, "the copy before its use", lost+500, false)
	again := directory{TB: t, Store: restored(c.now), clock: c} // another process
	first := transactionTime(again)
	wantAnswers(copied, "the copy", before, true)
	wantAnswers(copied, "the copy in use", lost, false)
	wantAnswers(copied, "the copy in use", first-1, false)
	wantAnswers(copied, "the copy in use", first, true)
	copied.apply(put(fhir.Location, "a", "three"))
	wantAnswers(copied, "the copy", transactionTime(copied), true)
	if keys := copied.keys(fhir.Location, plan.Since{After: before}); len(keys) != 1 {
		t.Errorf("%d resources since the backup", len(keys))
	}
	h, err := copied.Horizon(t.Context())
	copied.must(err)
	if want := []store.Restored{{Taken: before, Used: first}}; !slices.Equal(h.Restored, want) {
		t.Errorf("restored %+v, want %+v", h.Restored, want)
	}
}
