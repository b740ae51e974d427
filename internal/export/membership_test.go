package export

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/go-cmp/cmp"
)

// tracked returns a request that tracks the membership of its filters.
func (b *fixture) tracked(since *fhir.Instant, types ...string) Request {
	b.Helper()
	r := b.request(since, types...)
	r.TrackMembership = true
	return r
}

// wantLeft checks what a manifest says about the membership of the filters.
func (b *fixture) wantLeft(what string, m parsedManifest, told store.Membership, references ...string) {
	b.Helper()
	var left []string
	for _, l := range b.lists(m.Extension.Left, m.time) {
		for _, e := range l.Entry {
			if !e.Deleted || e.Item.Identifier.System != "" {
				b.Errorf("%s: an entry of what has left: %+v", what, e)
			}
			left = append(left, e.Item.Reference)
		}
	}
	if diff := cmp.Diff(references, left); diff != "" || m.Extension.Membership != told {
		b.Errorf("%s: membership %q, want %q; what has left (-want +got):\n%s", what, m.Extension.Membership, told, diff)
	}
}

// changed returns a new version of a practitioner, in a state.
func changed(id string, state index.Visibility) store.Change {
	c := resource(fhir.Practitioner, id, fmt.Sprint("state ", state))
	c.Visibility = state
	return c
}

// exposed makes a fixture a server for clients that get no suppressed resources.
func exposed(c *Config) {
	c.Suppressed, c.MembershipBytes = policy.SuppressedRules{Search: true}, DefaultMembershipBytes
}

// TestLeft checks what is listed as left: what the client holds and does not match any more. What
// shows that it is hidden, what was removed, and what the client never got is not. What was created
// again with the same id is in the output, or it has left.
func TestLeft(t *testing.T) {
	t.Attr("requirements", "MA-08 MA-09 VI-10")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		b := newFixtureOn(t, onPostgres, exposed)
		start(t, b.Service)
		b.apply(inState("stays", 0), inState("hidden", 0), inState("closed", 0), inState("gone", 0), inState("again", 0), inState("back", index.Suppressed),
			inState("never", index.Suppressed), inState("renewed", 0), resource(fhir.Location, "l0", "first"))
		_, full := b.runRequest(b.tracked(nil, "Practitioner", "Location"))
		b.wantLeft("a full export", full, store.MembershipKept)
		b.apply(remove(fhir.Practitioner, "gone"), remove(fhir.Practitioner, "again"), remove(fhir.Practitioner, "renewed"), changed("back", 0),
			changed("hidden", index.Suppressed), changed("closed", index.Inactive))
		b.apply(changed("again", index.Suppressed), changed("renewed", 0))
		_, delta := b.runRequest(b.tracked(&full.time, "Location", "Practitioner"))
		b.wantLeft("a delta", delta, store.MembershipKept, "Practitioner/hidden", "Practitioner/again")
		if urls, _ := b.deletes(delta); !slices.Equal(urls, []string{"Practitioner/gone"}) {
			t.Errorf("deleted: %q", urls)
		}
		if n := len(b.lines(ofType(delta.Output, "Practitioner"))); n != 3 {
			t.Errorf("%d practitioners are in the output, want closed, back and renewed", n)
		}
		_, next := b.runRequest(b.tracked(&delta.time, "Practitioner", "Location"))
		b.wantLeft("a delta without changes", next, store.MembershipKept)
		_, same := b.runRequest(b.tracked(&full.time, "Practitioner", "Location"))
		b.wantLeft("the same delta again", same, store.MembershipKept, "Practitioner/hidden", "Practitioner/again")
		_, untracked := b.runRequest(b.request(&full.time, "Practitioner", "Location"))
		b.wantLeft("a client that does not ask", untracked, store.MembershipUntracked)
		_, nothing := b.runRequest(b.tracked(new(fhir.Instant), "Practitioner", "Location"))
		b.wantLeft("a client that holds nothing", nothing, store.MembershipKept)
		_, untrackedSince := b.runRequest(b.tracked(&untracked.time, "Practitioner", "Location"))
		b.wantLeft("since an export that did not track", untrackedSince, store.MembershipUnknown)
		_, broken := b.runRequest(b.tracked(&untrackedSince.time, "Practitioner", "Location"))
		b.wantLeft("a chain that is broken", broken, store.MembershipUnknown)
	})
}

// TestMembershipOfOthers checks that a client does not get what has left the copy of another one: of
// another principal, or without authentication of another address.
func TestMembershipOfOthers(t *testing.T) {
	t.Attr("requirements", "MA-09")
	b := newFixture(t, exposed)
	start(t, b.Service)
	b.fill(2)
	as := func(principal, address string) context.Context {
		ctx := client.With(t.Context(), client.Client{Name: address})
		if principal == "" {
			return ctx
		}
		return auth.With(ctx, auth.Principal{ID: principal, Grants: auth.AllGrants()})
	}
	run := func(ctx context.Context, since *fhir.Instant) store.Job {
		t.Helper()
		r := b.tracked(since, "Practitioner")
		id, err := b.KickOff(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		return b.ended(id)
	}
	anna, here := as("anna", "principal anna"), as("", "address 192.0.2.1")
	ofAnna, ofHere := run(anna, nil).Time, run(here, nil).Time
	for name, c := range map[string]struct {
		as    context.Context
		since fhir.Instant
		want  store.Membership
	}{
		"its own":                                {anna, ofAnna, store.MembershipKept},
		"of another principal":                   {as("bert", "principal bert"), ofAnna, store.MembershipUnknown},
		"of a principal, without authentication": {here, ofAnna, store.MembershipUnknown},
		"its own, without authentication":        {here, ofHere, store.MembershipKept},
		"of another address":                     {as("", "address 192.0.2.2"), ofHere, store.MembershipUnknown},
		"of an address, by a principal":          {anna, ofHere, store.MembershipUnknown},
	} {
		if got := run(c.as, &c.since).Membership; got != c.want {
			t.Errorf("%s: membership %q, want %q", name, got, c.want)
		}
	}
}

// ended waits until a job of any client has ended.
func (b *fixture) ended(id string) store.Job {
	b.Helper()
	for deadline := time.After(30 * time.Second); ; {
		job, err := b.jobs.Job(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if !job.State.Live() {
			return job
		}
		select {
		case <-deadline:
			b.Fatalf("job %s is still %s", id, job.State)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestMembershipIsLost checks what a manifest says when the server does not keep what it holds, or
// cannot use it. The export is complete all the same.
func TestMembershipIsLost(t *testing.T) {
	t.Attr("requirements", "MA-09")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		observed := newObserver()
		b := newFixtureOn(t, onPostgres, func(c *Config) {
			exposed(c)
			c.MembershipBytes, c.Observer = store.MembersShare*store.LeastMembers, observed // one for a client
		})
		b.fill(3)
		foreign := b.holdForeign()
		stop := start(t, b.Service)
		_, first := b.runRequest(b.tracked(nil, "Practitioner"))
		_, second := b.runRequest(b.tracked(nil, "Practitioner"))
		b.apply(changed("p0", index.Suppressed))
		_, m := b.runRequest(b.tracked(&first.time, "Practitioner"))
		b.wantLeft("forgotten", m, store.MembershipUnknown)
		_, m = b.runRequest(b.tracked(&second.time, "Practitioner"))
		b.wantLeft("the last one", m, store.MembershipKept, "Practitioner/p0")
		_, m = b.runRequest(b.tracked(&foreign, "Practitioner"))
		b.wantLeft("not of this directory", m, store.MembershipUnknown)
		if n := len(b.lines(ofType(m.Output, "Practitioner"))); n != 0 {
			t.Errorf("%d practitioners are in the output of a delta without changes", n)
		}
		stop()
		small := b.Config
		small.MembershipBytes = store.MembersShare*store.LeastMembers - 1
		b.Service = New(small)
		stop = start(t, b.Service)
		_, m = b.runRequest(b.tracked(nil, "Practitioner"))
		b.wantLeft("too large", m, store.MembershipNotKept)
		stop()
		if onPostgres {
			return
		}
		b.Service = New(b.Config)
		b.Service.MembershipBytes = DefaultMembershipBytes
		start(t, b.Service)
		_, m = b.runRequest(b.tracked(nil, "Practitioner"))
		db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(b.filesDir()), "jobs.db")+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(`UPDATE members SET keys = CAST(substr(keys, 1, length(keys) - 1) || x'ff' AS BLOB)`); err != nil {
			t.Fatal(err)
		}
		_, m = b.runRequest(b.tracked(&m.time, "Practitioner"))
		b.wantLeft("damaged", m, store.MembershipUnknown)
		if got := observed.all(); got["damaged selection"] != 1 {
			t.Errorf("observed %v", got)
		}
	})
}

// holdForeign stores members of another directory, and returns the time as of which.
func (b *fixture) holdForeign() fhir.Instant {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	id, err := b.KickOff(b.Context(), b.tracked(nil, "Practitioner"))
	must(err)
	task, err := b.jobs.Claim(b.Context(), "w", b.now(), 1000, store.Bounds{})
	must(err)
	snapshot, err := b.Store.OpenSnapshot(b.Context(), func(ctx context.Context, at fhir.Instant) error {
		return b.jobs.BeginSelecting(ctx, task, at, b.now())
	})
	must(err)
	must(snapshot.Close())
	unknown := roaring64.BitmapOf(uint64(store.Key(fhir.Practitioner, 1000)))
	must(b.jobs.StoreMembers(b.Context(), task, b.tracked(nil, "Practitioner").canonicalFilters(), unknown, DefaultMembershipBytes, b.now()))
	must(b.jobs.StoreSelection(b.Context(), task, nil, nil, b.now(), b.expires()))
	if status := b.wait(b.Service, id); status.State != store.Complete {
		b.Fatalf("the job is %s", status.State)
	}
	return snapshot.Time()
}

// TestMembershipAfterCrashes crashes a server while it tracks, and resumes the export on another one.
// The export and the next one say what an undisturbed one says.
func TestMembershipAfterCrashes(t *testing.T) {
	for _, point := range []string{"export.selecting", "export.selected", "export.writing", "export.part.committed"} {
		t.Run(point, func(t *testing.T) {
			onBothDatabases(t, func(t *testing.T, onPostgres bool) {
				b := newFixtureOn(t, onPostgres, exposed)
				b.fill(30)
				stop := start(t, b.Service)
				_, full := b.runRequest(b.tracked(nil, "Practitioner"))
				stop()
				b.apply(changed("p0", index.Suppressed), changed("p1", index.Inactive))
				id := b.interruptRequest(point, "crash", b.tracked(&full.time, "Practitioner"))
				_, delta := b.manifestOf(id)
				b.wantLeft("the resumed delta", delta, store.MembershipKept, "Practitioner/p0")
				b.apply(changed("p2", index.Suppressed))
				_, next := b.runRequest(b.tracked(&delta.time, "Practitioner"))
				b.wantLeft("the next delta", next, store.MembershipKept, "Practitioner/p2")
				if sets, _, err := b.jobs.MembersKept(t.Context()); sets != 3 || err != nil {
					t.Errorf("what %d exports held is kept, %v; want 3", sets, err)
				}
			})
		})
	}
}

// TestCanonicalFilters checks which requests continue what another one began.
func TestCanonicalFilters(t *testing.T) {
	b := newFixture(t, nil)
	digest := func(entries ...string) string {
		t.Helper()
		r, err := b.ParseRequest(t.Context(), []byte(kickOff(entries...)))
		if err != nil {
			t.Fatal(err)
		}
		return r.canonicalFilters()
	}
	want := digest("_type=Practitioner,Location", "_typeFilter=Practitioner?family=a,b&given=c", "_typeFilter=Location?organization.name:exact=x,y&address-city=Balmain")
	for name, entries := range map[string][]string{
		"the types in another order": {"_type=Location,Practitioner", "_typeFilter=Practitioner?family=a,b&given=c", "_typeFilter=Location?organization.name:exact=x,y&address-city=Balmain"},
		"all in another order":       {"_type=Practitioner,Location", "_typeFilter=Location?address-city=Balmain&organization.name:exact=y,x", "_typeFilter=Practitioner?given=c&family=b,a"},
		"twice, and escaped":         {"_type=Practitioner,Location", "_typeFilter=Practitioner?family=a,b,a&given=%63&given=c", "_typeFilter=Location?organization.name:exact=x,y&address-city=Balmain"},
		"with _since":                {"_since=2026-01-01T00:00:00Z", "_type=Practitioner,Location", "_typeFilter=Practitioner?family=a,b&given=c", "_typeFilter=Location?organization.name:exact=x,y&address-city=Balmain"},
	} {
		if digest(entries...) != want {
			t.Errorf("%s: the filters differ", name)
		}
	}
	for name, entries := range map[string][]string{
		"one type":         {"_type=Practitioner", "_typeFilter=Practitioner?family=a,b&given=c"},
		"another value":    {"_type=Practitioner,Location", "_typeFilter=Practitioner?family=a,b&given=d", "_typeFilter=Location?organization.name:exact=x,y&address-city=Balmain"},
		"and, not or":      {"_type=Practitioner,Location", "_typeFilter=Practitioner?family=a&family=b&given=c", "_typeFilter=Location?organization.name:exact=x,y&address-city=Balmain"},
		"another modifier": {"_type=Practitioner,Location", "_typeFilter=Practitioner?family=a,b&given=c", "_typeFilter=Location?organization.name=x,y&address-city=Balmain"},
	} {
		if digest(entries...) == want {
			t.Errorf("%s: the filters are the same", name)
		}
	}
}

// TestManifestOfMembership checks how a manifest lists what has left, and that it says in words what
// is not known.
func TestManifestOfMembership(t *testing.T) {
	t.Attr("requirements", "MA-06 MA-09")
	b := newFixture(t, nil)
	const head = `{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":false,"output":[],"error":[],`
	lists := []store.Part{{Kind: store.PartList, File: "a", Stored: store.Stored{Count: 1}}, {Kind: store.PartLeft, File: "b", Stored: store.Stored{Count: 2}}}
	for _, c := range []struct {
		told    store.Membership
		request string
		parts   []store.Part
		want    string
	}{
		{store.MembershipKept, `{"since":1000000000000,"removalList":"extension"}`, lists,
			`"extension":{"removalList":[{"type":"List","url":"http://localhost:8080/fhir/Binary/a","count":1}],` +
				`"left":[{"type":"List","url":"http://localhost:8080/fhir/Binary/b","count":2}],"membership":"kept"}}`},
		{store.MembershipUnknown, `{"since":1000000000000,"withoutSuppressed":true}`, nil,
			`"message":"Export complete, but no data to generate report for job instance: job-1. ` +
				`Suppressed resources are left out, because this client may not see them. A copy that was made earlier may still hold resources that were suppressed since. ` +
				`The server does not know what this client held at _since, so the export does not say what has left the filters, nor what has entered them without a change. ` +
				`Start again with a full export, without _since.","extension":{"membership":"unknown"}}`},
		{store.MembershipNotKept, `{"since":1000000000000,"removalList":"extension"}`, lists[1:],
			`"message":"What this export holds is too large to be kept, so the next one cannot say what has left the filters.",` +
				`"extension":{"left":[{"type":"List","url":"http://localhost:8080/fhir/Binary/b","count":2}],"membership":"not-kept"}}`},
	} {
		got, err := b.manifest(store.Job{ID: "job-1", Time: 1_772_357_400_125, Request: []byte(c.request), Membership: c.told}, c.parts)
		if err != nil || string(got) != head+c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.told, err, got, head+c.want)
		}
	}
}
