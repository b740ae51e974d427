package storetest

import (
	"fmt"
	"slices"
	"testing"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// wide is a limit of members that no test reaches.
const wide = 1 << 30

// selectMembers creates a job of a client as of a time and stores its members. The job is selecting.
func (b jobsTest) selectMembers(id, of string, at fhir.Instant, members *roaring64.Bitmap, limit int64, now fhir.Instant) *store.Task {
	b.Helper()
	b.must(b.CreateJob(b.Context(), store.Job{ID: id, Owner: "anna", Client: client.Client{Name: of}, Request: []byte(`{}`), Created: now}, 0))
	task := b.mustClaim("selector", now)
	b.must(b.BeginSelecting(b.Context(), task, at, now))
	b.must(b.StoreMembers(b.Context(), task, "filters", members, limit, now))
	return task
}

// hold completes an empty export that held members.
func (b jobsTest) hold(id, of string, at fhir.Instant, members *roaring64.Bitmap, limit int64, now fhir.Instant) {
	b.Helper()
	task := b.selectMembers(id, of, at, members, limit, now)
	b.must(b.StoreSelection(b.Context(), task, nil, nil, now, expires))
	b.state(id, store.Complete)
}

// membership returns what a job tells of its membership.
func (b jobsTest) membership(id string) store.Membership {
	b.Helper()
	job, err := b.Job(b.Context(), id)
	b.must(err)
	return job.Membership
}

func keyOf(of string, at fhir.Instant) store.MembersKey {
	return store.MembersKey{Owner: "anna", Client: of, Filters: "filters", Time: at}
}

// testMembers checks who finds what a job held, and from when on: also after the job is deleted.
func testMembers(t *testing.T, b jobsTest) {
	t.Attr("requirements", "MA-09")
	held := roaring64.BitmapOf(uint64(store.Key(fhir.Location, 7)), uint64(store.Key(fhir.Practitioner, 1<<33)))
	held.AddRange(uint64(store.Key(fhir.Location, 100)), uint64(store.Key(fhir.Location, 5000)))
	task := b.selectMembers("one", "c", noon+5, held, wide, noon)
	_, err := b.Members(t.Context(), keyOf("c", noon+5), noon)
	b.wantErr("members of a job that selects", err, store.ErrNotFound)
	selections, parts := cutSelection("one", []int64{3})
	b.must(b.StoreSelection(t.Context(), task, selections, parts, noon, expires))
	_, err = b.Members(t.Context(), keyOf("c", noon+5), noon)
	b.wantErr("members of a job that writes", err, store.ErrNotFound)
	if state := b.finish(b.mustClaim("w", noon)); state != store.Complete || b.membership("one") != store.MembershipKept {
		t.Errorf("the job is %s with %q", state, b.membership("one"))
	}
	find := func(when string) {
		t.Helper()
		got, err := b.Members(t.Context(), keyOf("c", noon+5), noon)
		if err != nil || !got.Equals(held) {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	find("complete")
	for what, key := range map[string]store.MembersKey{
		"another owner":  {Owner: "bert", Client: "c", Filters: "filters", Time: noon + 5},
		"another client": keyOf("d", noon+5),
		"other filters":  {Owner: "anna", Client: "c", Filters: "other", Time: noon + 5},
		"another time":   keyOf("c", noon+4),
		"no time":        keyOf("c", 0),
		"the marker":     {},
		"only a time":    {Time: noon + 5},
	} {
		_, err := b.Members(t.Context(), key, noon)
		b.wantErr(what, err, store.ErrNotFound)
	}
	b.must(b.Cancel(t.Context(), "one", "anna", noon, expires))
	find("deleted")
	b.expire(expires+1, 0, 1)
	b.expire(expires+1, expires+1, 0)
	find("forgotten")
}

// testMembersOfEnded checks that a job that does not become complete leaves no members.
func testMembersOfEnded(t *testing.T, b jobsTest) {
	held := roaring64.BitmapOf(1)
	b.selectMembers("failed", "c", noon+5, held, wide, noon)
	b.must(b.Fail(t.Context(), "failed", "reason", noon, expires))
	b.selectMembers("cancelled", "c", noon+6, held, wide, noon)
	b.must(b.Cancel(t.Context(), "cancelled", "anna", noon, expires))
	// A selection that is begun again has another time.
	task := b.selectMembers("again", "c", noon+7, held, wide, noon)
	b.must(b.BeginSelecting(t.Context(), task, noon+8, noon))
	b.must(b.StoreMembers(t.Context(), task, "filters", roaring64.BitmapOf(2), wide, noon))
	b.must(b.StoreSelection(t.Context(), task, nil, nil, noon, expires))
	for at, want := range map[fhir.Instant]bool{noon + 5: false, noon + 6: false, noon + 7: false, noon + 8: true} {
		got, err := b.Members(t.Context(), keyOf("c", at), noon)
		if (err == nil) != want || want && !got.Contains(2) {
			t.Errorf("members as of %v: %v, %v", at, got, err)
		}
	}
	task = b.selectMembers("unknown", "c", noon+9, held, wide, noon)
	b.must(b.StoreMembers(t.Context(), task, "filters", nil, wide, noon))
	if got := b.membership("unknown"); got != store.MembershipUnknown {
		t.Errorf("without members: %q", got)
	}
	if sets, _, err := b.MembersKept(t.Context()); sets != 1 || err != nil {
		t.Errorf("%d sets are kept, %v", sets, err)
	}
}

// testMembersOfLate checks that a worker that has lost its claim stores no members.
func testMembersOfLate(t *testing.T, b jobsTest) {
	late := b.selectMembers("one", "c", noon+5, roaring64.BitmapOf(1), wide, noon)
	next := b.mustClaim("next", later)
	b.wantErr("a late worker", b.StoreMembers(t.Context(), late, "filters", roaring64.BitmapOf(2), wide, later), store.ErrLeaseLost)
	b.must(b.Cancel(t.Context(), "one", "anna", later, expires))
	b.wantErr("a cancelled job", b.StoreMembers(t.Context(), next, "filters", roaring64.BitmapOf(2), wide, later), store.ErrCancelled)
	if sets, bytes, err := b.MembersKept(t.Context()); sets != 0 || bytes != 0 || err != nil {
		t.Errorf("%d sets of %d bytes are kept, %v", sets, bytes, err)
	}
}

// sparse returns members whose stored form takes about a number of bytes.
func sparse(bytes int) *roaring64.Bitmap {
	held := roaring64.New()
	for n := range bytes / 2 {
		held.Add(uint64(3 * n))
	}
	return held
}

// kept returns which of the times have members, without using them.
func (b jobsTest) kept(times map[fhir.Instant]string) (kept []fhir.Instant) {
	b.Helper()
	for at, of := range times {
		if _, err := b.Members(b.Context(), keyOf(of, at), noon-1); err == nil {
			kept = append(kept, at)
		}
	}
	slices.Sort(kept)
	return kept
}

// testLeastUsedMembers checks that members that were used least recently are forgotten first, that all
// together never take more than the limit, and that small sets count with a least size.
func testLeastUsedMembers(t *testing.T, b jobsTest) {
	const limit = 8 * store.LeastMembers
	for n := range fhir.Instant(8) {
		b.hold(fmt.Sprintf("job%d", n), fmt.Sprintf("client%d", n), noon+n+1, roaring64.BitmapOf(uint64(n)), limit, noon+n)
	}
	check := func(sets int64) {
		t.Helper()
		if got, bytes, err := b.MembersKept(t.Context()); got != sets || bytes > limit || err != nil {
			t.Errorf("%d sets of %d bytes are kept, %v; want %d", got, bytes, err, sets)
		}
	}
	check(8)
	if _, err := b.Members(t.Context(), keyOf("client0", noon+1), noon+100); err != nil {
		t.Error(err)
	}
	// The next one needs the room of two: of the second and third, since the first was used.
	b.hold("large", "client", noon+50, sparse(store.LeastMembers+2000), limit, noon+60)
	check(7)
	for of, want := range map[int]bool{0: true, 1: false, 2: false, 3: true, 7: true} {
		if _, err := b.Members(t.Context(), keyOf(fmt.Sprint("client", of), noon+1+fhir.Instant(of)), noon+101); (err == nil) != want {
			t.Errorf("members of client %d: %v", of, err)
		}
	}
	b.hold("too large", "other", noon+70, sparse(limit/store.MembersShare+2000), limit, noon+70)
	if got := b.membership("too large"); got != store.MembershipNotKept {
		t.Errorf("members beyond the share of a client: %q", got)
	}
	check(7)
	b.hold("nothing fits", "other", noon+80, roaring64.New(), 0, noon+80)
	if got := b.membership("nothing fits"); got != store.MembershipNotKept {
		t.Errorf("members without room: %q", got)
	}
}

// testMembersOfOneClient checks that a client that exports again and again makes the server forget its
// own members only.
func testMembersOfOneClient(t *testing.T, b jobsTest) {
	const limit = 8 * store.LeastMembers
	times := map[fhir.Instant]string{}
	hold := func(n fhir.Instant, of string) {
		t.Helper()
		times[noon+n] = of
		b.hold(fmt.Sprintf("job%d", n), of, noon+n, roaring64.BitmapOf(uint64(n)), limit, noon+n)
	}
	hold(1, "modest")
	for n := range fhir.Instant(10) {
		hold(10+n, "greedy")
	}
	if got, want := b.kept(times), []fhir.Instant{noon + 1, noon + 18, noon + 19}; !slices.Equal(got, want) {
		t.Errorf("members are kept of %v, want %v", got, want)
	}
}
