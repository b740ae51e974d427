package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// testSkewedNodes opens the directory twice with clocks that differ by an hour. The times
// that the two issue increase in the order in which they are issued.
func testSkewedNodes(t *testing.T, open OpenStore) {
	dir, fast, slow := t.TempDir(), newClock(), newClock()
	fast.set(noon + 3_600_000)
	nodes := []directory{{t, open(t, dir, fast.now), fast}, {t, open(t, dir, slow.now), slow}}
	last := fhir.Instant(0)
	for i := range 6 {
		d := nodes[i%2]
		before := d.snapshot().Time()
		d.apply(put(fhir.Location, fmt.Sprint(i), "one"))
		after := d.snapshot().Time()
		if before <= last || after <= before+1 {
			t.Errorf("round %d: times %v and %v around a write, after %v", i, before, after, last)
		}
		last = after
	}
}

// testFailedHolder lets a write and a snapshot fail at each failpoint inside the gate.
// They leave nothing behind, and the next write enters the gate.
func testFailedHolder(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	broken := errors.New("test failure")
	for i, point := range []string{"directory.apply.entered", "directory.apply.commit", "directory.snapshot.drawn", "directory.snapshot.pinned"} {
		disarm := failpoint.Arm(point, func(context.Context) error { return broken })
		var err error
		if strings.HasPrefix(point, "directory.apply") {
			_, err = d.Apply(t.Context(), []store.Change{put(fhir.Location, "lost", "one")})
		} else {
			_, err = d.OpenSnapshot(t.Context(), noPin)
		}
		disarm()
		if !errors.Is(err, broken) {
			t.Errorf("%s: error %v", point, err)
		}
		d.apply(put(fhir.Location, fmt.Sprint("kept", i), "one"))
	}
	d.wantAll(fhir.Location, "kept0 v1 one", "kept1 v1 one", "kept2 v1 one", "kept3 v1 one")
}

// testRandomJobs writes and removes resources, starts and ends jobs, and deletes old
// versions in random order. After each step every live job reads exactly the bytes that
// it selected.
func testRandomJobs(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	r := rand.New(rand.NewPCG(3, 33))
	type job struct {
		at    fhir.Instant
		keys  []store.RowKey
		lines []string
	}
	live := map[string]job{}
	for step := range 120 {
		switch r.IntN(8) {
		case 0:
			id := fmt.Sprint("job", step)
			s := d.pin(id)
			keys := keysOf(d.pick(s, fhir.Location, plan.And{}))
			live[id] = job{s.Time(), keys, d.lines(keys, s.Time())}
			d.must(s.Close())
		case 1:
			for id := range live {
				d.end(id)
				delete(live, id)
				break
			}
		case 2:
			_, err := d.Vacuum(t.Context())
			d.must(err)
		case 3:
			d.apply(remove(fhir.Location, fmt.Sprint("l", r.IntN(12))))
		default:
			var changes []store.Change
			for range 1 + r.IntN(4) {
				changes = append(changes, put(fhir.Location, fmt.Sprint("l", r.IntN(12)), fmt.Sprint("step ", step)))
			}
			d.apply(changes...)
		}
		for id, j := range live {
			if diff := cmp.Diff(j.lines, d.lines(j.keys, j.at)); diff != "" {
				t.Fatalf("step %d: %s (-selected +now)\n%s", step, id, diff)
			}
		}
	}
	for id := range live {
		d.end(id)
	}
	_, err := d.Vacuum(t.Context())
	d.must(err)
	if n, err := d.Vacuum(t.Context()); n != 0 || err != nil {
		t.Errorf("a second vacuum deletes %d versions, %v", n, err)
	}
}

// testChainedDeltas chains deltas by their transaction times while two writers put and
// remove resources continuously. Together the deltas hold the last version of every
// resource, no version twice, and no version that was committed after the time of its
// delta.
func testChainedDeltas(t *testing.T, open OpenStore) {
	dir, c := t.TempDir(), newClock()
	server := directory{t, open(t, dir, c.now), c}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writers := make(chan error, 2)
	for n := range 2 {
		loader := open(t, dir, c.now)
		go func() { writers <- churn(ctx, loader, n) }()
	}
	seen, latest := map[string]bool{}, map[string]string{}
	since := fhir.Instant(0)
	for round := range 40 {
		if round == 39 {
			stop() // no writes during the last delta
			server.must(errors.Join(<-writers, <-writers))
		}
		s := server.pin(fmt.Sprint("delta", round))
		keys := keysOf(server.pick(s, fhir.Location, plan.Since{After: since}))
		for i, line := range server.lines(keys, s.Time()) {
			got := server.read(line)
			version := fmt.Sprint(got.ID, " v", got.Meta.VersionID)
			committed, err := fhir.ParseInstant(got.Meta.LastUpdated)
			server.must(err)
			if committed <= since || committed > s.Time() {
				t.Errorf("key %d: %s was committed at %v, in a delta from %v to %v", keys[i], version, committed, since, s.Time())
			}
			if seen[version] {
				t.Errorf("%s is in two deltas", version)
			}
			seen[version], latest[got.ID] = true, version
		}
		server.end(fmt.Sprint("delta", round))
		since = s.Time()
		server.must(s.Close())
	}
	for _, r := range server.all(fhir.Location) {
		if want := fmt.Sprint(r.ID, " v", r.Meta.VersionID); latest[r.ID] != want {
			t.Errorf("the last version in the deltas is %q of %s, but the directory has %s", latest[r.ID], r.ID, want)
		}
	}
}

// churn puts and removes the resources of one writer until ctx ends.
func churn(ctx context.Context, loader store.Store, writer int) error {
	r := rand.New(rand.NewPCG(7, uint64(writer)))
	for i := 0; ctx.Err() == nil; i++ {
		var changes []store.Change
		for range 1 + r.IntN(20) {
			id := fmt.Sprint("w", writer, "-", r.IntN(30))
			if r.IntN(5) == 0 {
				changes = append(changes, remove(fhir.Location, id))
			} else {
				changes = append(changes, put(fhir.Location, id, fmt.Sprint("text ", i)))
			}
		}
		if _, err := loader.Apply(ctx, changes); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// testLongTexts indexes incompressible texts of the maximum length of index.Short in
// every column.
func testLongTexts(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	r := rand.New(rand.NewPCG(5, 55))
	var long strings.Builder
	for range 3000 {
		long.WriteRune(rune(0x4e00 + r.IntN(0x5000)))
	}
	text := long.String()
	entries := everyKind(text)
	for i := range entries {
		e := &entries[i]
		e.Code, e.Norm, e.Exact = index.Short(e.Code), index.Short(e.Norm), index.Short(e.Exact)
	}
	d.apply(put(fhir.Location, "long", "one", entries...))
	system := "http://system"
	for _, n := range []plan.Node{
		plan.Token{Param: 1, System: &system, Code: &text}, plan.String{Param: 2, Text: text, Exact: true},
		plan.String{Param: 2, Text: string([]rune(text)[:200])}, plan.Reference{Param: 4, Type: "Organization", ID: text}, plan.URI{Param: 5, Value: text},
	} {
		if keys := d.keys(fhir.Location, n); len(keys) != 1 {
			t.Errorf("%T finds %d resources, want 1", n, len(keys))
		}
	}
	d.apply(put(fhir.Location, "long", "two"))
	d.apply(remove(fhir.Location, "long"))
}
