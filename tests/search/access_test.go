package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/query"
	"muster/internal/searchtest"
	"muster/internal/searchtest/compare"
)

// principals are the principals of tokens.
type principals map[string]auth.Principal

// Authenticate implements [auth.Authenticator].
func (p principals) Authenticate(_ context.Context, token string, _ func() error) (auth.Principal, error) {
	return p[token], nil
}

// rules let a client ask for suppressed resources.
var rules = policy.SuppressedRules{Search: true, Local: true}

// TestTokensReachTheirTypesAlone compares searches, includes, reads and exports of clients with
// random grants with the evaluator, in directories that have no resource of another type, nor a
// Provenance about one. What is refused, and only that, needs a type that the token does not cover.
func TestTokensReachTheirTypesAlone(t *testing.T) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, queries := range map[string]int{"sqlite": 1000, "postgres": 300} {
		t.Run(name, func(t *testing.T) {
			t.Attr("requirements", "AU-02 AU-03 SC-04 SC-06 SR-52 SR-53 TR-01 TR-02 VI-14 VI-16 RD-03")
			t.Parallel()
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 0))
			known := principals{}
			c := databases[name](t, reg)
			c.Authenticator = known
			if c.Blobs, err = blob.NewFolder(t.TempDir()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Blobs.Close() })
			trial, err := c.Open(t.Context(), searchtest.Generate(r, compare.Base))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = trial.Close() })
			client, err := trial.Serve(c.Blobs)
			if err != nil {
				t.Fatal(err)
			}
			a := asker{T: t, Trial: trial, r: r, seed: seed}
			for n := range queries {
				if n%10 == 0 {
					a.become(known, client, fmt.Sprint("client", n))
				}
				a.compare(trial.Directory.RandomQuery(r))
				a.compareRead()
			}
			t.Logf("seed %d: %d queries answered and %d refused, %d resources included, %d reads answered and %d refused", seed, a.answered, a.refused, a.included, a.read, a.readRefused)
			if a.answered < queries/5 || a.refused < queries/10 || a.included < queries/20 || a.read < queries/10 || a.readRefused < queries/10 {
				t.Errorf("seed %d: too little of one kind", seed)
			}
		})
	}
}

// asker asks as a client with random grants.
type asker struct {
	*testing.T
	*compare.Trial
	r    *rand.Rand
	seed uint64

	client *compare.Client
	grants auth.Grants
	search *searchtest.Directory // what the client reaches by each interaction
	reads  *searchtest.Directory
	export *searchtest.Directory

	answered, refused, included, read, readRefused int
}

// become draws the grants of another client.
func (a *asker) become(known principals, client *compare.Client, token string) {
	p := auth.Of("https://issuer.example", token)
	for i := auth.Search; i <= auth.Export; i++ {
		some := fhir.TypesOf(fhir.Types()[a.r.IntN(len(fhir.Types()))])
		for _, t := range fhir.Types() {
			if a.r.IntN(10) < 7 {
				some |= fhir.TypesOf(t)
			}
		}
		p.Grants[i] = some
	}
	known[token] = p
	a.client, a.grants = client.As(token), p.Grants
	a.search, a.reads, a.export = a.Directory.Restrict(p.May(auth.Search)), a.Directory.Restrict(p.May(auth.Read)), a.Directory.Restrict(p.May(auth.Export))
}

func (a *asker) failf(what fmt.Stringer, i auth.Interaction, format string, args ...any) {
	a.Helper()
	a.Fatalf("seed %d: %s with the types %s: %s", a.seed, what, a.grants[i], fmt.Sprintf(format, args...))
}

// compare compares the answers to a query.
func (a *asker) compare(q query.Query) {
	a.Helper()
	if _, err := a.Directory.Find(q); err != nil {
		return // refused for all clients
	}
	for _, way := range []struct {
		name        string
		interaction auth.Interaction
		seen        *searchtest.Directory
		find        func(*searchtest.Directory) (searchtest.Answer, error)
		ask         func() ([]string, error)
	}{
		{"search", auth.Search, a.search, func(d *searchtest.Directory) (searchtest.Answer, error) { return d.Find(q) },
			func() ([]string, error) { return a.client.Search(a.Context(), q.String(), 1+a.r.IntN(30)) }},
		{"export", auth.Export, a.export, func(d *searchtest.Directory) (searchtest.Answer, error) { return d.Find(q) },
			func() ([]string, error) { return a.ExportAs(a.Context(), q.String(), a.mayExport()) }},
		{"delta", auth.Export, a.export, func(d *searchtest.Directory) (searchtest.Answer, error) { return d.FindSince(q, 1) },
			func() ([]string, error) { return a.ExportSinceAs(a.Context(), q.String(), 1, a.mayExport()) }},
	} {
		got, err := way.ask()
		if !a.grants[way.interaction].Covers(searchtest.Reached(q)) {
			a.refused++
			if !isForbidden(err) {
				a.failf(q, way.interaction, "%s answers %v, %v, but needs %s", way.name, got, err, searchtest.Reached(q))
			}
			continue
		}
		want, refusal := way.find(way.seen)
		if err != nil || refusal != nil || !want.Ambiguous && !slices.Equal(got, want.IDs) {
			a.failf(q, way.interaction, "%s has %v, %v, want %v, %v", way.name, got, err, want.IDs, refusal)
		}
		a.answered++
		if way.name == "search" && len(got) > 0 {
			a.compareInclude(q.Type, got)
		}
	}
}

func (a *asker) mayExport() policy.Access {
	return rules.Access(auth.Principal{ID: "client", Grants: a.grants}, auth.Export)
}

// isForbidden reports whether what is refused first is refused since the client does not reach it.
func isForbidden(err error) bool {
	issues, ok := fhir.AsIssues(err)
	return ok && issues[0].Code == fhir.CodeForbidden
}

// compareInclude compares what a search for resources has besides them, with one include.
func (a *asker) compareInclude(t fhir.Type, ids []string) {
	a.Helper()
	list := searchtest.Includes(t)
	if t == fhir.Provenance { // has the only references to several types
		list = slices.DeleteFunc(list, func(i searchtest.Include) bool { return len(i.Targets) == 1 })
	}
	i := list[a.r.IntN(len(list))]
	ids = ids[:min(len(ids), 30)]
	text := fmt.Sprintf("%s?_id=%s&%s=%s:%s", t, strings.Join(ids, ","), map[bool]string{true: "_revinclude", false: "_include"}[i.Reverse], i.Source, i.Ref)
	answer, err := a.client.Get(a.Context(), text)
	if err != nil {
		a.Fatal(err)
	}
	types := a.grants[auth.Search]
	if !types.Has(i.Source) || !slices.ContainsFunc(i.Targets, types.Has) {
		a.refused++
		if answer.Refused == nil || !isForbidden(answer.Refused) {
			a.Fatalf("seed %d: %s with the types %s: %+v", a.seed, text, types, answer)
		}
		return
	}
	slices.Sort(answer.Matches)
	slices.Sort(answer.Includes)
	if want := a.search.Included(t, answer.Matches, i); answer.Refused != nil || !slices.Equal(answer.Includes, want) {
		a.Fatalf("seed %d: %s with the types %s includes %v, want %v; refused %v", a.seed, text, types, answer.Includes, want, answer.Refused)
	}
	a.included += len(answer.Includes)
}

// compareRead compares a read. One of a resource that other clients see, and this one does not
// reach, is forbidden.
func (a *asker) compareRead() {
	a.Helper()
	names := a.Directory.Names()
	name := names[a.r.IntN(len(names))]
	typeName, _, _ := strings.Cut(name, "/")
	t, _ := fhir.ParseType(typeName)
	answer, err := a.client.Get(a.Context(), name)
	if err != nil {
		a.Fatal(err)
	}
	want := fhir.Code("")
	switch {
	case !a.grants[auth.Read].Has(t):
		want = fhir.CodeForbidden
	case !a.Directory.Readable(name):
		want = fhir.CodeNotFound
	case !a.reads.Readable(name):
		want = fhir.CodeForbidden
	}
	got := fhir.Code("")
	if answer.Refused != nil {
		got = answer.Refused[0].Code
	}
	if got != want {
		a.Fatalf("seed %d: a read of %s with the types %s: %q, want %q", a.seed, name, a.grants[auth.Read], got, want)
	}
	if want == fhir.CodeForbidden {
		a.readRefused++
	} else if want == "" {
		a.read++
	}
}
