package export

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// holding returns a context of the anonymous client with a token that covers types in exports.
func holding(ctx context.Context, types ...fhir.Type) context.Context {
	p := auth.Anonymous
	p.Grants = auth.Grants{auth.Export: fhir.TypesOf(types...)}
	return auth.With(ctx, p)
}

// allOf returns the entries of a kick-off for all resources of types.
func allOf(types ...string) []string {
	entries := []string{"_type=" + strings.Join(types, ",")}
	for _, t := range types {
		entries = append(entries, "_typeFilter="+t+"?_lastUpdated=ge1900-01-01")
	}
	return entries
}

// requestAs parses a request of a client that tracks the membership of its filters.
func (b *fixture) requestAs(ctx context.Context, since *fhir.Instant, types ...string) Request {
	b.Helper()
	entries := allOf(types...)
	if since != nil {
		entries = append(entries, "_since="+since.String())
	}
	r, err := b.ParseRequest(ctx, []byte(kickOff(entries...)))
	if err != nil {
		b.Fatal(err)
	}
	r.TrackMembership = true
	return r
}

// about returns a version of a Provenance about targets.
func about(t *testing.T, id string, targets ...fhir.Reference) store.Change {
	t.Helper()
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	target, _ := registry.Param(fhir.Provenance, "target")
	text := "of"
	c := resource(fhir.Provenance, id, text)
	for _, r := range targets {
		text += " " + r.Type + " " + r.ID
		c.Entries = append(c.Entries, index.Entry{Kind: index.Reference, Param: target.ID, System: r.Type, Code: r.ID})
	}
	copy(c.SourceHash[:], text)
	return c
}

func provenances(m parsedManifest, b *fixture) (ids []string) {
	for _, line := range b.lines(m.Output) {
		_, rest, _ := strings.Cut(line, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		ids = append(ids, id)
	}
	return ids
}

// TestProvenancesOfCoveredTypes: exports hold the Provenances about types that the token covered at
// the kick-off. One that comes to be about another type leaves the copy of a client that tracks its
// membership, and one that it held and that was removed is listed. The types of the token may change
// from one export to the next.
func TestProvenancesOfCoveredTypes(t *testing.T) {
	t.Attr("requirements", "AU-03 SC-04 MA-08 MA-09 VI-10 VI-14")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		b := newFixtureOn(t, onPostgres, func(c *Config) { c.MembershipBytes = DefaultMembershipBytes })
		start(t, b.Service)
		organization, practitioner := fhir.Reference{Type: "Organization", ID: "o"}, fhir.Reference{Type: "Practitioner", ID: "p"}
		b.apply(resource(fhir.Organization, "o", "first"), resource(fhir.Practitioner, "p", "first"),
			about(t, "stays", organization), about(t, "turns", organization), about(t, "ends", organization), about(t, "other", practitioner, organization), about(t, "unseen", practitioner))
		some := holding(t.Context(), fhir.Organization, fhir.Provenance)
		_, full := b.runRequest(b.requestAs(some, nil, "Provenance"))
		if diff := cmp.Diff([]string{"stays", "turns", "ends"}, provenances(full, b)); diff != "" {
			t.Errorf("a full export (-want +got):\n%s", diff)
		}
		b.apply(about(t, "turns", practitioner), remove(fhir.Provenance, "ends"), remove(fhir.Provenance, "unseen"))
		_, delta := b.runRequest(b.requestAs(some, &full.time, "Provenance"))
		b.wantLeft("a delta", delta, store.MembershipKept, "Provenance/turns")
		if urls, _ := b.deletes(delta); len(provenances(delta, b)) != 0 || !slices.Equal(urls, []string{"Provenance/ends"}) {
			t.Errorf("a delta has %q, and deletes %q", provenances(delta, b), urls)
		}
		untracked := b.requestAs(some, &full.time, "Provenance")
		untracked.TrackMembership = false
		_, plain := b.runRequest(untracked)
		if len(plain.Deleted) != 0 || !strings.Contains(plain.Message, "Provenances that were removed since are not listed in deleted") {
			t.Errorf("a delta without membership: deleted %+v, message %q", plain.Deleted, plain.Message)
		}
		_, more := b.runRequest(b.requestAs(t.Context(), &full.time, "Provenance"))
		b.wantLeft("a delta with more types", more, store.MembershipKept)
		if urls, _ := b.deletes(more); !slices.Equal(provenances(more, b), []string{"turns", "other"}) || !slices.Equal(urls, []string{"Provenance/ends", "Provenance/unseen"}) {
			t.Errorf("a delta with more types has %q, and deletes %q", provenances(more, b), urls)
		}
		_, fewer := b.runRequest(b.requestAs(some, &more.time, "Provenance"))
		b.wantLeft("a delta with fewer types again", fewer, store.MembershipKept, "Provenance/turns", "Provenance/other")
	})
}

// TestPolicyOfJobs: the policy of a client decides how many exports it has and whether they may be
// full ones, and what a later one forbids is not served from exports that exist.
func TestPolicyOfJobs(t *testing.T) {
	t.Attr("requirements", "A-06 KO-52 SU-01")
	b := newFixture(t, func(c *Config) { c.JobsPerPrincipal = 1 })
	b.apply(inState("hidden", index.Suppressed))
	with := func(set auth.Policy) context.Context {
		p := auth.Anonymous
		p.Policy = set
		return client.With(auth.With(t.Context(), p), client.Client{Name: "clinic"})
	}
	kickOffAs := func(ctx context.Context, entries ...string) (string, error) {
		r, err := b.ParseRequest(ctx, []byte(kickOff(entries...)))
		if err != nil {
			return "", err
		}
		return b.KickOff(ctx, r)
	}
	everything := allOf("Practitioner")

	deltas := with(auth.Policy{DeltasOnly: true, Jobs: 3})
	for _, entries := range [][]string{everything, append(everything, "_since=1999-12-31T23:59:59Z")} {
		_, err := kickOffAs(deltas, entries...)
		if issues, _ := fhir.AsIssues(err); len(issues) != 1 || issues[0].Code != fhir.CodeForbidden || !strings.Contains(issues[0].Diagnostics, "write _since with the transactionTime") {
			t.Errorf("a full export of a client that may only ask for changes: %v", err)
		}
	}
	var jobs []string
	for _, entries := range [][]string{append(everything, "_since=2001-01-01T00:00:00Z"), {"_type=Practitioner", "_typeFilter=Practitioner?_lastUpdated=ge1900-01-01&suppressed:not=false"}, everything} {
		id, err := kickOffAs(with(auth.Policy{Jobs: 3}), entries...)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, id)
	}
	if _, err := kickOffAs(with(auth.Policy{Jobs: 3}), everything...); !errors.Is(err, store.ErrTooManyJobs) {
		t.Errorf("a fourth export: %v", err)
	}

	start(t, b.Service)
	hide := with(auth.Policy{HideSuppressed: true})
	for n, id := range jobs {
		b.wait(b.Service, id)
		refused := n < 2 // the last one asks for no suppressed resources
		_, err := b.Poll(hide, id)
		if isForbidden(err) != refused {
			t.Errorf("poll of export %d by a client that may no longer see suppressed resources: %v", n, err)
		}
		parts, err := b.jobs.Parts(t.Context(), id)
		if err != nil || refused && len(parts) == 0 {
			t.Fatalf("the parts of export %d: %v, %v", n, parts, err)
		}
		for _, p := range parts {
			if _, err := b.OpenFile(hide, p.File); isForbidden(err) != refused {
				t.Errorf("a file of export %d: %v", n, err)
			}
		}
		if err := b.Cancel(hide, id); err != nil {
			t.Errorf("DELETE of export %d: %v", n, err)
		}
	}
	if r, err := b.ParseRequest(hide, []byte(kickOff(append(everything, "_since=2001-01-01T00:00:00Z")...))); err != nil || !r.WithoutSuppressed {
		t.Errorf("a delta of a client that may not see suppressed resources: %+v, %v", r, err)
	}
}

func isForbidden(err error) bool {
	issues, _ := fhir.AsIssues(err)
	return len(issues) == 1 && issues[0].Code == fhir.CodeForbidden
}

// TestStoredTypes: the row of a job says which types its client reached, and which types its files
// tell about. A row of an older program says neither, which means all types.
func TestStoredTypes(t *testing.T) {
	t.Attr("requirements", "RS-03")
	b := newFixture(t, nil)
	for _, c := range []struct {
		covered  []fhir.Type
		filter   string
		reaches  fhir.TypeSet
		provided string
	}{
		{fhir.Types(), "Location?organization.name=a", fhir.TypesOf(fhir.Location, fhir.Organization), ""},
		{fhir.Types(), "Provenance?target:Location.name=a", fhir.AllTypes(), ""},
		{[]fhir.Type{fhir.Provenance, fhir.Location}, "Provenance?target:Location.name=a", fhir.TypesOf(fhir.Provenance, fhir.Location), `"covered":["Location","Provenance"]`},
		{[]fhir.Type{fhir.Organization, fhir.Provenance}, "Organization?_has:Provenance:target:_id=a", fhir.TypesOf(fhir.Organization, fhir.Provenance), ""},
		{[]fhir.Type{fhir.Organization, fhir.Provenance}, "Organization?name=a", fhir.TypesOf(fhir.Organization), ""},
	} {
		typeName, _, _ := strings.Cut(c.filter, "?")
		r, err := b.ParseRequest(holding(t.Context(), c.covered...), []byte(kickOff("_type="+typeName, "_typeFilter="+c.filter)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := r.encode(testBase)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := readStored(text)
		if err != nil || readTypes(stored.Reaches) != c.reaches || readTypes(stored.Covered) != fhir.TypesOf(c.covered...) || !strings.Contains(string(text), c.provided) {
			t.Errorf("%s with %v is stored as %s, %v", c.filter, c.covered, text, err)
		}
		again, err := decodeRequest(text, b.Compiler, policy.SuppressedOffered)
		if err != nil || again.Covered != r.Covered || again.Filters[0].Plan.String() != r.Filters[0].Plan.String() {
			t.Errorf("%s is read back as %+v, %v", text, again, err)
		}
	}
	if err := b.checkTypes(holding(t.Context(), fhir.Organization), store.Job{Request: []byte(`{"filters":["Organization?name=a"]}`)}); !isForbidden(err) {
		t.Errorf("a row without types, by a token for one: %v", err)
	}
	if err := b.checkTypes(holding(t.Context(), fhir.Organization), store.Job{Request: []byte(`{`)}); !isForbidden(err) {
		t.Errorf("a damaged row, by a token for one type: %v", err)
	}
	if err := b.checkTypes(t.Context(), store.Job{Request: []byte(`{`)}); err != nil {
		t.Errorf("a damaged row, by a client that reaches all types: %v", err)
	}
}
